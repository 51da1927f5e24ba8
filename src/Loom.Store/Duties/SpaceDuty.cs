using Loom.Raft;
using Loom.Raft.Consensus;
using Loom.Raft.Membership;
using Loom.Raft.Topology;
using Loom.Store.Alarms;
using Loom.Store.Commands;
using Loom.Store.Model;

namespace Loom.Store.Duties;

/// <summary>What <see cref="SpaceDuty"/> looks at.</summary>
internal sealed record SpacePicture
{
    public required MemberId Self { get; init; }

    /// <summary>This member leads.</summary>
    public required bool Leads { get; init; }

    public required Configuration Configuration { get; init; }

    public required IReadOnlyList<PeerStatus> Peers { get; init; }

    public required AlarmTable Alarms { get; init; }

    /// <summary>Bytes of the state: the same on every member at one index.</summary>
    public required long InUseBytes { get; init; }

    /// <summary>Free bytes of the data directory's file system; long.MaxValue: not known.</summary>
    public required long FreeBytes { get; init; }

    /// <summary>Why the log or the applier pauses here, or null.</summary>
    public string? Pause { get; init; }
}

/// <summary>What follows from a look.</summary>
/// <param name="Alarms">To propose, in order.</param>
/// <param name="HandOverTo">Who should lead in place of this member, or None.</param>
/// <param name="Refusal">Why puts are refused here from now on, or null: they are not.</param>
internal sealed record SpaceOrders(IReadOnlyList<AlarmCommand> Alarms, MemberId HandOverTo, string? Refusal);

/// <summary>
/// Space as this member sees it (S6): when its disk is low it raises an alarm of its own, leads no more where another voter can, and takes it back when space is there again.
/// A low disk of some members stops nothing while the others can commit; when they cannot, puts are refused before they are proposed, by every member alike, and what is kept free
/// until then is the reserve for deletes, compactions and alarms.
/// Each member answers for its own alarms; the leader takes away those of members that are gone. What a call raised stays until a call disarms it.
/// </summary>
/// <param name="quotaBytes">Most bytes of state; 0: no quota.</param>
/// <param name="minFreeBytes">Free bytes below which the disk is low; 0: nobody looks.</param>
internal sealed class SpaceDuty(long quotaBytes, long minFreeBytes)
{
    private const long LargestMarginBytes = 64 << 20;

    /// <summary>This member's disk is low. It stays so until a quarter more than the least is free: a disk at the edge must not raise and clear by turns.</summary>
    public bool IsLow { get; private set; }

    /// <summary>At this size the quota's alarm clears itself: a tenth below the quota, at most 64 MiB.</summary>
    public long ClearBelowBytes { get; } = quotaBytes <= 0 ? long.MaxValue : quotaBytes - Math.Min(quotaBytes / 10, LargestMarginBytes);

    public SpaceOrders Look(SpacePicture seen)
    {
        long enough = IsLow ? minFreeBytes + (minFreeBytes / 4) : minFreeBytes;
        IsLow = minFreeBytes > 0 && (seen.Pause is not null || seen.FreeBytes < enough);
        MemberId[] low = Low(seen);
        return new SpaceOrders(Alarms(seen), IsLow && seen.Leads ? Successor(seen, low) : MemberId.None, Refusal(seen, low));
    }

    private List<AlarmCommand> Alarms(SpacePicture seen)
    {
        List<AlarmCommand> commands = [];
        ulong self = seen.Self.Value;
        if (IsLow && seen.Alarms.Find(AlarmKind.LowDisk, self) is null)
        {
            commands.Add(new AlarmCommand(Raises: true, new Alarm(AlarmKind.LowDisk, self, IsAutomatic: true)));
        }

        foreach (Alarm alarm in seen.Alarms.All)
        {
            if (alarm.IsAutomatic && (alarm.Member == self ? IsOver(seen, alarm) : seen.Leads && IsOrphan(seen, alarm)))
            {
                commands.Add(new AlarmCommand(Raises: false, alarm));
            }
        }

        return commands;
    }

    private bool IsOver(SpacePicture seen, Alarm own) => own.Kind == AlarmKind.LowDisk ? !IsLow : own.Kind == AlarmKind.NoSpace && seen.InUseBytes < ClearBelowBytes;

    /// <summary>Nobody else will take it back: its member left, or it is silent and the state, which all have alike, is small again.</summary>
    private bool IsOrphan(SpacePicture seen, Alarm alarm)
    {
        var member = new MemberId(alarm.Member);
        return seen.Configuration.Find(member) is null
            || (alarm.Kind == AlarmKind.NoSpace && seen.InUseBytes < ClearBelowBytes && !seen.Peers.Any(peer => peer.Id == member && peer.Connected));
    }

    /// <summary>Who is short of disk, as far as is known here.</summary>
    private MemberId[] Low(SpacePicture seen)
    {
        var low = new SortedSet<MemberId>(seen.Alarms.All.Where(alarm => alarm.Kind == AlarmKind.LowDisk).Select(alarm => new MemberId(alarm.Member)));
        if (IsLow)
        {
            low.Add(seen.Self);
        }
        else
        {
            // The alarm may not be taken back yet: this member knows better.
            low.Remove(seen.Self);
        }

        return [.. low];
    }

    private static string? Refusal(SpacePicture seen, MemberId[] low)
    {
        if (low.Length > 0 && !FurtherLosses.CanCommit(seen.Configuration, low))
        {
            string names = string.Join(", ", low.Select(id => seen.Configuration.Find(id)?.Name ?? id.ToString()));
            return $"{names} {(low.Length == 1 ? "is" : "are")} short of disk, and the other voters cannot commit without {(low.Length == 1 ? "it" : "them")}";
        }

        // Its callers wait for what is applied here: while nothing is, they would wait in vain.
        return seen.Pause is null ? null : $"this member takes nothing in: {seen.Pause.TrimEnd('.')}; other members go on";
    }

    private static MemberId Successor(SpacePicture seen, MemberId[] low)
    {
        PeerStatus? best = null;
        foreach (PeerStatus peer in seen.Peers)
        {
            bool fits = peer.Connected && seen.Configuration.Find(peer.Id)?.Role == MemberRole.Voter && Array.BinarySearch(low, peer.Id) < 0;
            best = fits && (best is null || peer.Match > best.Match) ? peer : best;
        }

        return best?.Id ?? MemberId.None;
    }
}
