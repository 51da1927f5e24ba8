namespace Loom.Store.Model;

/// <summary>What a permission permits. Values are etcd's, and are stored: never renumber.</summary>
public enum PermissionKind : byte
{
    /// <summary>Reading and watching.</summary>
    Read = 0,

    /// <summary>Putting and deleting; not reading.</summary>
    Write = 1,

    /// <summary>Both.</summary>
    ReadWrite = 2,
}

/// <summary>What a role permits on a range of keys.</summary>
/// <param name="Kind">Reading, writing or both.</param>
/// <param name="Range">The keys. A range between two keys must not be empty: its End is above its Start.</param>
public sealed record Permission(PermissionKind Kind, KeyRange Range);
