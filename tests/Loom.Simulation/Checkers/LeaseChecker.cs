using Loom.Raft.Replica;
using Loom.Raft.Sessions;
using Loom.Simulation.Engine;
using Loom.Store;
using Loom.Store.Commands;
using Loom.Store.Model;

namespace Loom.Simulation.Checkers;

/// <summary>
/// Leases as a plain model of the entries says (T5): whatever is proposed by whom, a lease ends by time only at an entry whose cluster time has reached its last grant or renewal and its time to live, and with
/// it go exactly the keys whose newest put named it. That cluster time itself does not run too fast is <see cref="ClusterChecker"/>'s to say; both together: no lease ends early.
/// </summary>
internal sealed class LeaseChecker
{
    private readonly SortedDictionary<long, (long Seconds, long Due)> leases = [];
    private readonly SortedDictionary<string, long> keys = new(StringComparer.Ordinal);
    private long revision = 1;

    /// <summary>Revisions that no client's operation made.</summary>
    public SortedSet<long> Revisions { get; } = [];

    /// <summary>Leases that ended by time, and entries that would have ended one too early.</summary>
    public long Ended { get; private set; }

    public long TooEarly { get; private set; }

    /// <summary>An entry is applied for the first time, in the order of the log.</summary>
    public void Applied(CommittedEntry entry, in Outcome outcome)
    {
        Command? command;
        try
        {
            command = CommandReader.Decode(entry.Payload);
        }
        catch (CommandFormatException)
        {
            return;
        }

        Outcome? expected = command switch
        {
            LeaseGrantCommand grant => Grant(grant, entry.ClusterTime),
            LeaseRevokeCommand revoke => leases.ContainsKey(revoke.Id) ? End([revoke.Id]) : Refusal(LoomErrorCode.LeaseNotFound),
            LeaseRenewCommand renew => Renew(renew.Ids, entry.ClusterTime),
            LeaseExpireCommand expire => Expire(expire.Term == entry.Term ? expire.Ids : [], entry.ClusterTime),
            PutCommand { Put.Lease: not 0 } put => Put(put.Put),
            _ => null,
        };
        if (expected is { } wanted && wanted != outcome)
        {
            throw new SimulationFailure("lease-rule", $"entry {entry.Index} at {entry.ClusterTime / 1e9:F3} s, {command}: {outcome}, but {wanted} is right; leases {string.Join(", ", leases.Select(l => $"{l.Key} due at {l.Value.Due / 1e9:F3} s"))}");
        }

        if (expected is not null && outcome.Revision > revision)
        {
            Revisions.Add(outcome.Revision);
        }

        revision = Math.Max(revision, outcome.Revision);
    }

    private Outcome Grant(LeaseGrantCommand grant, long time) =>
        leases.TryAdd(grant.Id, (grant.Seconds, time + (grant.Seconds * Ns.Second))) ? new Outcome(0, 0, revision, 0) : Refusal(LoomErrorCode.LeaseExists);

    private Outcome Put(PutOperation put)
    {
        if (!leases.ContainsKey(put.Lease))
        {
            return Refusal(LoomErrorCode.LeaseNotFound);
        }

        keys[Convert.ToHexString(put.Key.Span)] = put.Lease;
        return new Outcome(0, 0, revision + 1, 0);
    }

    private Outcome Renew(IReadOnlyList<long> ids, long time)
    {
        long[] there = [.. ids.Where(leases.ContainsKey)];
        foreach (long id in there)
        {
            leases[id] = (leases[id].Seconds, time + (leases[id].Seconds * Ns.Second));
        }

        return new Outcome(0, 0, revision, there.Length);
    }

    private Outcome Expire(IReadOnlyList<long> ids, long time)
    {
        long[] due = [.. ids.Where(id => leases.TryGetValue(id, out (long Seconds, long Due) lease) && lease.Due <= time)];
        Ended += due.Length;
        TooEarly += ids.Count(leases.ContainsKey) - due.Length;
        return End(due);
    }

    private Outcome End(long[] ids)
    {
        string[] gone = [.. keys.Where(pair => ids.Contains(pair.Value)).Select(pair => pair.Key)];
        Array.ForEach(gone, key => keys.Remove(key));
        Array.ForEach(ids, id => leases.Remove(id));
        return new Outcome(0, 0, gone.Length > 0 ? revision + 1 : revision, ids.Length);
    }

    private Outcome Refusal(LoomErrorCode code) => new((int)code, 0, revision, 0);
}
