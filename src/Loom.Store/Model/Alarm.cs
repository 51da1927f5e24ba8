namespace Loom.Store.Model;

/// <summary>What an alarm says. The numbers are in the log and in checkpoints: never renumber.</summary>
public enum AlarmKind : byte
{
    /// <summary>The state has reached its quota (etcd's NOSPACE): puts are refused on every member; deletes, compactions, sessions, membership and alarms go on.</summary>
    NoSpace = 1,

    /// <summary>The replicas differ and no majority agrees (etcd's CORRUPT): every write but an alarm is refused on every member, reads go on.</summary>
    Corrupt = 2,

    /// <summary>
    /// The member's file system is nearly full. It stops nothing by itself: puts are refused only while so many members are short of space that the rest cannot commit.
    /// etcd's API shows it as NOSPACE of that member.
    /// </summary>
    LowDisk = 3,
}

/// <summary>An alarm of a member: replicated, so that every member refuses alike (T4).</summary>
/// <param name="Kind">What it says.</param>
/// <param name="Member">Id of the member that it is about.</param>
/// <param name="IsAutomatic">The member raised it by itself, and it is cleared by itself when its cause is gone. One that was raised by a call stays until a call disarms it.</param>
public readonly record struct Alarm(AlarmKind Kind, ulong Member, bool IsAutomatic = false);

/// <summary>Answer to raising or disarming an alarm.</summary>
/// <param name="Revision">The current revision: alarms add none.</param>
/// <param name="Alarm">The alarm as it is active now; of a disarming the one that was active. Null: there was none to disarm.</param>
public sealed record AlarmResult(Revision Revision, Alarm? Alarm);
