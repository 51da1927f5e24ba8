using Loom.Simulation.Engine;
using Loom.Simulation.History;

namespace Loom.Simulation.Checkers;

/// <summary>
/// Linearizability by revisions, in O(n log n): every answer carries the store's revision, so the store itself names the order, and the history passes if that order is
/// a witness. Four questions: are revisions unique, do they respect real time, does each answer equal the state at its revision, and has each revision exactly one cause?
/// What this trusts (that a revision in an answer means something) the search on a sample does not (<see cref="SearchChecker"/>).
/// </summary>
internal static class RevisionChecker
{
    /// <param name="operations">The calls; open ones count as unknown.</param>
    /// <param name="revisions">All revisions, from 2 on, as the replicas hold them after convergence.</param>
    /// <param name="others">Revisions that no operation made, and that touch no key of theirs (<c>LeaseChecker</c>).</param>
    public static void Check(IReadOnlyList<ClientOperation> operations, IReadOnlyList<RevisionRecord> revisions, IReadOnlySet<long>? others = null)
    {
        CheckUnique(operations);
        CheckRealTime(operations);
        CheckLocalReads(operations);
        CheckExplained(operations, revisions, others);
        CheckState(operations, new KeyTimeline(revisions));
    }

    private static void CheckUnique(IReadOnlyList<ClientOperation> operations)
    {
        Dictionary<long, ClientOperation> byRevision = [];
        foreach (ClientOperation operation in operations)
        {
            if (operation is { Status: OperationStatus.Acknowledged, Changed: true } && !byRevision.TryAdd(operation.Revision, operation))
            {
                throw new SimulationFailure("revision-unique", $"two acknowledged writes have one revision: {byRevision[operation.Revision]} and {operation}");
            }
        }
    }

    private static void CheckRealTime(IReadOnlyList<ClientOperation> operations)
    {
        List<(long Time, bool IsReturn, ClientOperation ClientOperation)> events = [];
        foreach (ClientOperation operation in operations)
        {
            if (operation.Status == OperationStatus.Acknowledged)
            {
                events.Add((operation.Call, false, operation));
                events.Add((operation.Return, true, operation));
            }
        }

        // At one moment calls come first: only what returned strictly before a call must be seen by it.
        events.Sort((a, b) => a.Time != b.Time ? a.Time.CompareTo(b.Time)
            : a.IsReturn != b.IsReturn ? a.IsReturn.CompareTo(b.IsReturn)
            : a.ClientOperation.Id.CompareTo(b.ClientOperation.Id));

        long floor = 0;
        ClientOperation? raisedBy = null;
        Dictionary<int, (long Floor, ClientOperation? By)> atCall = [];
        foreach ((long _, bool isReturn, ClientOperation operation) in events)
        {
            if (!isReturn)
            {
                atCall[operation.Id] = (floor, raisedBy);
                continue;
            }

            (long needed, ClientOperation? by) = atCall[operation.Id];
            if (!operation.IsLocalRead && (operation.Changed ? operation.Revision <= needed : operation.Revision < needed))
            {
                throw new SimulationFailure("real-time", $"an answer is older than one that had returned before it was called: {operation} after {by}");
            }

            if (operation.Revision > floor)
            {
                (floor, raisedBy) = (operation.Revision, operation);
            }
        }
    }

    private static void CheckLocalReads(IReadOnlyList<ClientOperation> operations)
    {
        Dictionary<(int Client, int Member, int Life), ClientOperation> newest = [];
        foreach (ClientOperation operation in operations.Where(o => o is { IsLocalRead: true, Status: OperationStatus.Acknowledged }))
        {
            var reader = (operation.Client, operation.Member, operation.MemberLife);
            if (newest.TryGetValue(reader, out ClientOperation? before) && before.Return <= operation.Call && before.Revision > operation.Revision)
            {
                throw new SimulationFailure("local-backwards", $"local reads of one replica went backwards: {operation} after {before}");
            }

            newest[reader] = operation;
        }
    }

    private static void CheckExplained(IReadOnlyList<ClientOperation> operations, IReadOnlyList<RevisionRecord> revisions, IReadOnlySet<long>? others)
    {
        Dictionary<int, ClientOperation> byValue = [];
        Dictionary<long, ClientOperation> byRevision = [];
        List<ClientOperation> unknownDeletes = [];
        foreach (ClientOperation operation in operations)
        {
            foreach (Effect effect in operation.Effects.Where(e => e.Value != 0))
            {
                byValue[effect.Value] = operation;
            }

            if (operation is { Status: OperationStatus.Acknowledged, Changed: true })
            {
                byRevision[operation.Revision] = operation;
            }
            else if (operation.Status is OperationStatus.Unknown or OperationStatus.Open && operation.Effects.Count == 1 && operation.Effects[0].Value == 0)
            {
                unknownDeletes.Add(operation);
            }
        }

        Dictionary<int, long> used = [];
        foreach (RevisionRecord revision in revisions)
        {
            if (revision.Effects.Count == 0)
            {
                if (others?.Contains(revision.Revision) != true)
                {
                    throw new SimulationFailure("invented", $"revision {revision.Revision} holds nothing, and nobody made it");
                }

                continue;
            }

            ClientOperation cause = FindCause(revision, byValue, byRevision, unknownDeletes, used);
            if (!used.TryAdd(cause.Id, revision.Revision))
            {
                throw new SimulationFailure("exactly-once", $"revisions {used[cause.Id]} and {revision.Revision} were both made by {cause}");
            }

            CheckCause(revision, cause);
        }

        foreach ((long revision, ClientOperation operation) in byRevision)
        {
            if (!used.ContainsKey(operation.Id))
            {
                throw new SimulationFailure("acknowledged-lost", $"revision {revision} of {revisions.Count + 1} does not hold the acknowledged {operation}");
            }
        }
    }

    private static ClientOperation FindCause(
        RevisionRecord revision, Dictionary<int, ClientOperation> byValue, Dictionary<long, ClientOperation> byRevision, List<ClientOperation> unknownDeletes, Dictionary<int, long> used)
    {
        foreach (Effect effect in revision.Effects)
        {
            if (effect.Value != 0)
            {
                return byValue.TryGetValue(effect.Value, out ClientOperation? operation)
                    ? operation
                    : throw new SimulationFailure("invented", $"revision {revision.Revision} holds value {effect.Value}, which nobody wrote");
            }
        }

        // Deletions carry no value: an acknowledged one is named by its revision, else any unknown one of this key will do.
        int key = revision.Effects[0].Key;
        if (byRevision.TryGetValue(revision.Revision, out ClientOperation? acknowledged) && acknowledged.Effects.Any(e => e == new Effect(key, 0)))
        {
            return acknowledged;
        }

        return unknownDeletes.FirstOrDefault(d => d.Effects[0].Key == key && !used.ContainsKey(d.Id))
            ?? throw new SimulationFailure("invented", $"revision {revision.Revision} deletes key {key}, which nobody asked for");
    }

    private static void CheckCause(RevisionRecord revision, ClientOperation cause)
    {
        if (cause.Status == OperationStatus.NotApplied)
        {
            throw new SimulationFailure("definite-outcome", $"revision {revision.Revision} was made by a write that was reported as not applied: {cause}");
        }

        if (cause.Status == OperationStatus.Acknowledged && (!cause.Changed || cause.Revision != revision.Revision))
        {
            throw new SimulationFailure("explained", $"revision {revision.Revision} was made by a write that was answered otherwise: {cause}");
        }

        // A deletion inside a transaction may find nothing to delete; the puts must all be there.
        List<Effect> expected = [.. cause.Effects.Where(e => e.Value != 0 || revision.Effects.Contains(e))];
        if (expected.Count != revision.Effects.Count || !expected.All(revision.Effects.Contains))
        {
            throw new SimulationFailure("torn", $"revision {revision.Revision} holds [{string.Join(", ", revision.Effects)}] of {cause}");
        }
    }

    private static void CheckState(IReadOnlyList<ClientOperation> operations, KeyTimeline timeline)
    {
        foreach (ClientOperation operation in operations.Where(o => o.Status == OperationStatus.Acknowledged))
        {
            long before = operation.Changed ? operation.Revision - 1 : operation.Revision;
            if (before > timeline.Last)
            {
                throw new SimulationFailure("acknowledged-lost", $"the replicas end at revision {timeline.Last}, before the answer of {operation}");
            }

            bool holds = operation.Conditions.All(c => timeline.At(c.Key, before).Value == c.Value);
            if (operation.IsWrite && holds != operation.Succeeded)
            {
                throw new SimulationFailure("state", $"the conditions {(holds ? "held" : "did not hold")} at revision {before}: {operation}");
            }

            if (operation is { IsWrite: true, Succeeded: true, Changed: false } && !operation.Effects.All(e => e.Value == 0 && timeline.At(e.Key, before).Value == 0))
            {
                throw new SimulationFailure("state", $"a write changed nothing though it had something to change at revision {before}: {operation}");
            }

            foreach (Observation read in operation.Reads)
            {
                Observation expected = timeline.At(read.Key, before);
                if (read != expected)
                {
                    throw new SimulationFailure("state", $"read {read}, but revision {before} holds {expected}: {operation}");
                }
            }
        }
    }

    /// <summary>Per key its versions in revision order.</summary>
    private sealed class KeyTimeline
    {
        private readonly Dictionary<int, List<Observation>> keys = [];

        public KeyTimeline(IReadOnlyList<RevisionRecord> revisions)
        {
            Last = revisions.Count + 1;
            foreach (RevisionRecord revision in revisions)
            {
                foreach (Effect effect in revision.Effects)
                {
                    if (!keys.TryGetValue(effect.Key, out List<Observation>? versions))
                    {
                        keys[effect.Key] = versions = [];
                    }

                    Observation before = versions.Count > 0 ? versions[^1] : default;
                    versions.Add(effect.Value == 0 ? new(effect.Key, 0, revision.Revision, 0, 0)
                        : before.Value == 0 ? new(effect.Key, effect.Value, revision.Revision, revision.Revision, 1)
                        : new(effect.Key, effect.Value, revision.Revision, before.CreateRevision, before.Version + 1));
                }
            }
        }

        public long Last { get; }

        public Observation At(int key, long revision)
        {
            if (!keys.TryGetValue(key, out List<Observation>? versions))
            {
                return new(key, 0, 0, 0, 0);
            }

            int low = 0, high = versions.Count;
            while (low < high)
            {
                int middle = (low + high) / 2;
                if (versions[middle].ModRevision <= revision)
                {
                    low = middle + 1;
                }
                else
                {
                    high = middle;
                }
            }

            return low == 0 || versions[low - 1].Value == 0 ? new(key, 0, 0, 0, 0) : versions[low - 1];
        }
    }
}
