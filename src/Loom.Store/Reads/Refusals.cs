using Loom.Store.Leases;
using Loom.Store.Machine;

namespace Loom.Store.Reads;

/// <summary>Refusals → exceptions at the public edge: code, cause, outcome, fix, in that order.</summary>
internal static class Refusals
{
    public static LoomException ToException(LoomErrorCode code) => new(code, $"LOOM{(int)code}: {Cause(code)}");

    public static LoomException ToException(Fault fault) => new(fault.Code, $"LOOM{(int)fault.Code}: {fault.Message}. Nothing was applied.");

    private static string Cause(LoomErrorCode code) => code switch
    {
        LoomErrorCode.Compacted => "the revision has been compacted. Nothing was applied. Read at a newer revision, or without one.",
        LoomErrorCode.FutureRevision => "the revision has not been written yet. Nothing was applied. Use a revision that a write or read returned; AtLeast waits for one.",
        LoomErrorCode.KeyNotFound => "the key does not exist, and the put wants to keep its value or lease. Nothing was applied. Put it with a value first.",
        LoomErrorCode.LeaseNotFound => "the lease does not exist. Nothing was applied. Grant a lease first, or put without one.",
        LoomErrorCode.LeaseExists => "a lease with this id exists. Nothing was applied. Choose another id, or leave it out, and one is chosen.",
        LoomErrorCode.TooManyLeases => $"there are {LeaseTable.MaxLeases} leases already. Nothing was applied. Let keys share a lease, or revoke leases that nobody needs.",
        LoomErrorCode.NoSpace => "no space is left for puts: a NOSPACE alarm is active. Nothing was applied. Delete keys and compact the history, or raise --quota-backend-bytes; the alarm then clears itself (loom status shows it).",
        LoomErrorCode.CorruptAlarm => "a CORRUPT alarm is active: the replicas differ, and every write is refused. Nothing was applied. Find the member that differs (loom status shows each one's hash), then disarm the alarm.",
        _ => $"refused ({code}). Nothing was applied. See the documentation of this code.",
    };
}
