using System.Text;
using Loom.Simulation.Cluster;
using Loom.Simulation.Engine;
using Loom.Simulation.History;
using Loom.Store.Model;

namespace Loom.Simulation.Checkers;

/// <summary>
/// What watches of everything deliver, on every member, over crashes and installed states: each revision once, in order, whole, without a gap, and the same everywhere; at the end, what the history holds.
/// </summary>
internal sealed class WatchChecker
{
    private readonly Dictionary<long, (string Events, int Member)> byRevision = [];
    private readonly SortedDictionary<(int Member, int Follower), long> through = [];

    /// <summary>The revision through which a follower of a member has got everything; it goes on from there in the member's next life.</summary>
    public long Through(int member, int follower) => through.GetValueOrDefault((member, follower), 1);

    public void Delivered(int member, int follower, WatchBatch batch)
    {
        long last = Through(member, follower);
        foreach (IGrouping<long, WatchEvent> revision in batch.Events.GroupBy(change => change.Pair.ModRevision))
        {
            if (revision.Key != last + 1)
            {
                throw new SimulationFailure("watch", $"watch {follower} of n{member} got revision {revision.Key} after {last}");
            }

            last = revision.Key;
            string events = string.Join(' ', revision.Select(Text));
            if (byRevision.TryAdd(last, (events, member)))
            {
                continue;
            }

            if (byRevision[last].Events != events)
            {
                throw new SimulationFailure("watch", $"watch {follower} of n{member} got revision {last} as [{events}], n{byRevision[last].Member} as [{byRevision[last].Events}]");
            }
        }

        if (last != batch.Revision.Number)
        {
            throw new SimulationFailure("watch", $"watch {follower} of n{member} says that it is complete through {batch.Revision}, and got nothing behind {last}");
        }

        through[(member, follower)] = last;
    }

    /// <summary>Everything was read that a member has.</summary>
    public void Rests(int member, int follower, long revision)
    {
        if (Through(member, follower) != revision)
        {
            throw new SimulationFailure("watch", $"watch {follower} of n{member} rests behind {Through(member, follower)}, and the member is at {revision}");
        }
    }

    /// <summary>What happened, from 2 on.</summary>
    public void CheckHistory(IReadOnlyList<RevisionRecord> revisions)
    {
        foreach (RevisionRecord revision in revisions)
        {
            // Keys of leases are no clients': the history that is read back leaves them out.
            string expected = Sorted(revision.Effects.Select(effect => $"{Encoding.ASCII.GetString(Workload.KeyBytes(effect.Key))}={effect.Value}"));
            if (byRevision.TryGetValue(revision.Revision, out (string Events, int Member) seen) && Sorted(seen.Events.Split(' ').Where(change => change[0] == 'k')) != expected)
            {
                throw new SimulationFailure("watch", $"watches got revision {revision.Revision} as [{seen.Events}], and the history holds [{expected}]");
            }
        }
    }

    private static string Text(WatchEvent change) =>
        $"{Encoding.ASCII.GetString(change.Pair.Key.Span)}={(change.Kind == WatchEventKind.Put && !change.Pair.Value.IsEmpty ? Workload.ValueOf(change.Pair.Value.Span) : 0)}";

    private static string Sorted(IEnumerable<string> words) => string.Join(' ', words.Order(StringComparer.Ordinal));
}
