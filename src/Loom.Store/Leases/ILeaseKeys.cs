using Loom.Store.Auth;

namespace Loom.Store.Leases;

/// <summary>The keys of leases, as far as rights ask for them. A lease without keys, or that is not there, permits all.</summary>
internal interface ILeaseKeys
{
    /// <summary>Whether all keys of a lease may be written.</summary>
    bool MayWriteKeys(long lease, PermissionRanges ranges);

    /// <summary>Whether all keys of a lease may be read.</summary>
    bool MayReadKeys(long lease, PermissionRanges ranges);
}
