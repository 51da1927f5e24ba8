using CsCheck;
using Loom.Raft.Consensus;
using Loom.Raft.Proposals;
using Loom.Raft.Sessions;
using NUnit.Framework;

namespace Loom.Raft.Tests.Sessions;

/// <summary>
/// The table against a plain model under random logs; the same log cut into batches in two ways must give the same verdicts and bytes,
/// and a table restored in the middle must go on like the original.
/// </summary>
[TestFixture]
public sealed class SessionTableModelTests
{
    private const int Sessions = 4;
    private const int Outcomes = 40;

    private static readonly Gen<Entry[]> Log =
        Gen.Select(Gen.Int[0, 9], Gen.Int[0, 5], Gen.Int[0, 30], Gen.Int[0, 12], Gen.Int[0, 400],
            (kind, session, sequence, below, time) => new Entry(kind, session, sequence, below, time)).Array[1, 300];

    [Test]
    public void It_decides_as_the_model_does_however_the_log_is_cut() =>
        (from log in Log from cuts in Gen.Int[1, 7].Array[log.Length] select (log, cuts)).Sample(t =>
        {
            var model = new Model();
            var oneByOne = new SessionTable(Sessions, Outcomes);
            var batched = new SessionTable(Sessions, Outcomes);
            var pending = new List<(ProposalId, Outcome)>();
            var opened = new List<long>();
            long time = 0;
            for (int i = 0; i < t.log.Length; i++)
            {
                long index = i + 1;
                Entry e = t.log[i];
                time += e.Time * (SessionTable.LifetimeNanoseconds / 4000);
                if (i % t.cuts[i] == 0)
                {
                    Settle(batched, pending);
                }

                if (e.Kind == 0 || opened.Count == 0)
                {
                    var owner = new SessionOwner(new MemberId(1), 1, (ulong)index);
                    model.Open(index, time);
                    oneByOne.Open(index, time, owner);
                    batched.Open(index, time, owner);
                    opened.Add(index);
                    continue;
                }

                long session = opened[Math.Max(0, opened.Count - 1 - e.Session)];
                long sequence = 1 + e.Sequence + (i / 8);
                var id = new ProposalId(session, sequence);
                long floor = Math.Max(0, sequence - e.Below);
                var outcome = new Outcome(0, 0, index, 0);
                SessionDecision expected = model.Decide(time, id, floor, outcome);
                SessionDecision a = oneByOne.Decide(index, time, id, floor);
                if (a.Verdict == SessionVerdict.Apply)
                {
                    oneByOne.Record(id, outcome);
                }

                SessionDecision b = batched.Decide(index, time, id, floor);
                if (b.Verdict == SessionVerdict.Wait)
                {
                    Settle(batched, pending);
                    b = batched.Decide(index, time, id, floor);
                }

                if (b.Verdict == SessionVerdict.Apply)
                {
                    pending.Add((id, outcome));
                }

                if (a != expected || b != expected)
                {
                    return false;
                }

                if (i % 50 == 49)
                {
                    var restored = new SessionTable(Sessions, Outcomes);
                    restored.Deserialize(oneByOne.Serialize());
                    if (restored.Hash() != oneByOne.Hash())
                    {
                        return false;
                    }

                    oneByOne = restored;
                }
            }

            Settle(batched, pending);
            return oneByOne.Serialize().AsSpan().SequenceEqual(batched.Serialize()) && oneByOne.Hash() == batched.Hash();
        }, iter: 400);

    private static void Settle(SessionTable table, List<(ProposalId Id, Outcome Outcome)> pending)
    {
        foreach ((ProposalId id, Outcome outcome) in pending)
        {
            table.Record(id, outcome);
        }

        pending.Clear();
    }

    public readonly record struct Entry(int Kind, int Session, int Sequence, int Below, long Time);

    /// <summary>P1 and P2 said as plainly as possible: a list in the order of last use.</summary>
    private sealed class Model
    {
        private readonly List<(long Id, long Used, long Floor, SortedDictionary<long, Outcome> Done)> byUse = [];

        public void Open(long id, long time)
        {
            Expire(time);
            if (byUse.Count == Sessions)
            {
                byUse.RemoveAt(0);
            }

            byUse.Add((id, time, 0, []));
        }

        public SessionDecision Decide(long time, ProposalId id, long floor, Outcome outcome)
        {
            Expire(time);
            int at = byUse.FindIndex(s => s.Id == id.Session);
            if (at < 0)
            {
                return new(SessionVerdict.SessionExpired);
            }

            (long _, long _, long had, SortedDictionary<long, Outcome> done) = byUse[at];
            floor = Math.Max(floor, had);
            byUse.RemoveAt(at);
            byUse.Add((id.Session, time, floor, done));
            foreach (long below in done.Keys.Where(s => s < floor).ToArray())
            {
                done.Remove(below);
            }

            if (id.Sequence < floor || id.Sequence >= floor + 1024)
            {
                return new(id.Sequence < floor ? SessionVerdict.StaleSequence : SessionVerdict.BeyondWindow);
            }

            if (done.TryGetValue(id.Sequence, out Outcome first))
            {
                return new(SessionVerdict.Repeat, first);
            }

            while (byUse.Sum(s => s.Done.Count) >= Outcomes && byUse.Count > 1)
            {
                byUse.RemoveAt(0);
            }

            done.Add(id.Sequence, outcome);
            return new(SessionVerdict.Apply);
        }

        private void Expire(long time) => byUse.RemoveAll(s => time - s.Used > SessionTable.LifetimeNanoseconds);
    }
}
