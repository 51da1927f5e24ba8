using Loom.Store.Model;

namespace Loom.Store.Commands;

/// <summary>What a client asks the replicated state to do. Values of the enum are in the log: never renumber.</summary>
internal enum CommandKind : byte
{
    Put = 1,
    Delete = 2,
    Transaction = 3,
    Compact = 4,
    LeaseGrant = 5,
    LeaseRevoke = 6,
    LeaseRenew = 7,
    LeaseExpire = 8,

    // 9 is kept for leases.
    Alarm = 10,

    AuthSwitch = 11,
    UserAdd = 12,
    UserDelete = 13,
    UserPassword = 14,
    UserRole = 15,
    Role = 16,
    RolePermission = 17,
    Authenticate = 18,

    // 19 is kept for users and roles.
}

/// <summary>One write, as the log carries it.</summary>
internal abstract record Command
{
    /// <summary>On whose behalf; null: the cluster's own, or the embedding process's, which has every right.</summary>
    public Caller? Caller { get; init; }
}

internal sealed record PutCommand(PutOperation Put) : Command;

internal sealed record DeleteCommand(DeleteOperation Delete) : Command;

internal sealed record TransactionCommand(Transaction Transaction) : Command;

internal sealed record CompactCommand(long Revision) : Command;

/// <summary>Grants a lease. The id is the proposer's choice; the time to live has its least already.</summary>
internal sealed record LeaseGrantCommand(long Id, long Seconds) : Command;

/// <summary>Ends a lease and deletes its keys, whatever its time.</summary>
internal sealed record LeaseRevokeCommand(long Id) : Command;

/// <summary>Gives leases their whole time again. One entry carries what many callers asked for. Ids ascend.</summary>
internal sealed record LeaseRenewCommand(IReadOnlyList<long> Ids) : Command;

/// <summary>
/// Ends those of the leases that are due in the cluster time of this entry (T5), and deletes their keys: who proposes it cannot end one early.
/// Only if the leader of <paramref name="Term"/>, who proposes it, took it into the log (P4): at another one it would come before the renewals that the change of leader held up.
/// With no lease at all it only marks the time in the log. Ids ascend.
/// </summary>
internal sealed record LeaseExpireCommand(long Term, IReadOnlyList<long> Ids) : Command;

/// <summary>Raises an alarm, or disarms it. <see cref="Alarm.IsAutomatic"/> counts only when it raises.</summary>
internal sealed record AlarmCommand(bool Raises, Alarm Alarm) : Command;

/// <summary>
/// A payload that no version of Loom's encoder writes. <see cref="IsUnknownVersion"/> tells a newer writer from damage:
/// the first must stop this member (another one may understand the entry, D9), the second is refused by every replica alike.
/// </summary>
internal sealed class CommandFormatException(string message, bool isUnknownVersion = false, Exception? inner = null) : Exception(message, inner)
{
    public bool IsUnknownVersion { get; } = isUnknownVersion;
}

/// <summary>Bounds that hold on decode as well as before a proposal, so that no payload makes a replica allocate more than it was sent.</summary>
internal static class CommandLimits
{
    /// <summary>etcd's --max-txn-ops: the largest of the three lists of a transaction; nested ones share the rest.</summary>
    public const int MaxOperations = 128;

    /// <summary>No name of a user or role is decoded beyond this; the rule's own limit (<see cref="Auth.AuthLimits.MaxNameBytes"/>) is lower.</summary>
    public const int MaxNameBytes = 4096;

    /// <summary>Leases that one entry renews or ends at most.</summary>
    public const int MaxLeases = 1024;

    /// <summary>No payload is decoded beyond this; the facade's own limit (LoomOptions.MaxRequestBytes) is lower.</summary>
    public const int MaxPayloadBytes = 16 * 1024 * 1024;

    /// <summary>Longest key: all keys are in memory, on every replica, for good; what is longer belongs into a value. (The key index itself takes 4 MiB.)</summary>
    public const int MaxKeyBytes = 65_535;
}
