using Loom.Raft.Sessions;
using Loom.Store.Alarms;
using Loom.Store.Commands;
using Loom.Store.Model;
using Loom.Store.Mvcc;

namespace Loom.Store.Machine;

/// <summary>
/// Alarms: raising one that is active and disarming one that is not change nothing, so that both may be repeated. And what an active alarm stops, by the table alone (T4, S6):
/// NOSPACE what may make the state larger, CORRUPT every write. Alarms themselves always pass, or nobody could disarm them; so do users and their tokens, or nobody could show that he may;
/// and so does the renewal of leases, or all of them would be due when it is disarmed.
/// </summary>
internal static class AlarmRule
{
    public static Decision Decide(AlarmCommand command, StagedView state, bool wantsResult)
    {
        Alarm wanted = command.Alarm;
        AlarmTable before = state.Alarms;
        Alarm? known = before.Find(wanted.Kind, wanted.Member);
        AlarmTable after = command.Raises ? before.With(wanted) : before.Without(wanted.Kind, wanted.Member);
        if (command.Raises && known is null && ReferenceEquals(before, after))
        {
            return Decision.Refuse(LoomErrorCode.InvalidRequest, state.Batch.BeginRevision);
        }

        if (!ReferenceEquals(before, after))
        {
            state.Batch.SetAlarms(after);
        }

        // As in etcd: the alarm as it is active now; of a disarming the one that was, or none.
        Alarm? answer = command.Raises ? known ?? wanted : known;
        return new Decision(new Outcome(0, 0, state.Revision, answer is null ? 0 : 1), wantsResult ? new AlarmResult(new Revision(state.Revision), answer) : null);
    }

    /// <summary>Why a command is refused while these alarms are active, or 0.</summary>
    public static LoomErrorCode Stops(AlarmTable alarms, Command command) =>
        command is AlarmCommand or AuthCommand or AuthenticateCommand or LeaseRenewCommand ? 0
        : alarms.Has(AlarmKind.Corrupt) ? LoomErrorCode.CorruptAlarm
        : alarms.Has(AlarmKind.NoSpace) && SpaceCost.Of(command) > 0 ? LoomErrorCode.NoSpace
        : 0;
}
