using CsCheck;
using Loom.Raft.Replica;
using Loom.Store.Applying;
using Loom.Store.Commands;
using Loom.Store.Model;
using Loom.Store.Mvcc;
using Loom.Store.Tests.Machine;
using Loom.Store.Watch;
using Loom.Testing;
using NUnit.Framework;

namespace Loom.Store.Tests.Watch;

/// <summary>
/// Random commands, random watches that begin in the past, now and in the future, readers of random speed, buffers so small that everybody falls behind, compactions, trimming, and states that are
/// replaced by a snapshot: what each watch delivers must be what a plain model says happened, each event once and in order, a revision in one piece, up to where the watch says that it is complete.
/// </summary>
internal sealed class WatchModelTests
{
    private static readonly Gen<Plan> Plans = Gen.Select(
        ModelTests.Any.Array[1, 60], ModelTests.Range.Array[1, 5], Gen.Int[0, 1 << 20], Gen.Int[1, 6], Gen.Int[1, 4], Gen.Int[200, 4000],
        (commands, ranges, seed, recent, queued, bytes) => new Plan(commands, [.. ranges.Where(range => !range.IsEmpty())], seed, new WatchLimits(recent + 1, bytes, queued)));

    [Test]
    public void Every_watch_delivers_the_history_of_its_range() => Plans.Sample(plan => new Run(plan).All(), iter: 3000, threads: 1);

    private sealed record Plan(Command[] Commands, KeyRange[] Ranges, int Seed, WatchLimits Limits);

    private sealed class Run : IDisposable
    {
        private readonly Plan plan;
        private readonly Random random;
        private readonly NaiveStore model = new();
        private readonly List<SlowReader> readers = [];
        private LoomStateMachine machine;
        private int applied;

        public Run(Plan plan)
        {
            this.plan = plan;
            random = new Random(plan.Seed);
            machine = Open();
        }

        public void Dispose() => machine.Dispose();

        public void All()
        {
            using Run self = this;
            while (applied < plan.Commands.Length)
            {
                Step();
            }

            // In the end everybody comes to an end.
            for (int round = 0; round < 200; round++)
            {
                machine.Watches.Dispatch(1000);
                readers.ForEach(reader => reader.Read(machine.Watches, model));
            }

            readers.ForEach(reader => reader.IsComplete(model));
        }

        private void Step()
        {
            switch (random.Next(12))
            {
                case 0 or 1 when plan.Ranges.Length > 0:
                    readers.Add(new SlowReader(machine.Watches, model, Query()));
                    break;
                case 2 or 3 or 4:
                    machine.Watches.Dispatch(random.Next(1, 5));
                    break;
                case 5 or 6 or 7:
                    if (readers.Count > 0)
                    {
                        readers[random.Next(readers.Count)].Read(machine.Watches, model);
                    }

                    break;
                case 8:
                    machine.TrimStep(random.Next(1, 10));
                    break;
                case 9 when random.Next(4) == 0:
                    Replace();
                    break;
                default:
                    int count = Math.Min(random.Next(1, 5), plan.Commands.Length - applied);
                    Apply(machine, applied, count, model);
                    applied += count;
                    break;
            }
        }

        private WatchQuery Query() => new(plan.Ranges[random.Next(plan.Ranges.Length)])
        {
            From = new Revision(random.Next(3) == 0 ? 0 : random.Next(1, (int)model.Revision + 4)),
            Puts = random.Next(5) > 0,
            Deletes = random.Next(5) > 0,
            PreviousPairs = random.Next(2) == 0,
        };

        /// <summary>Another replica has applied as much, or more; its state is installed over this one's.</summary>
        private void Replace()
        {
            int ahead = Math.Min(random.Next(0, 6), plan.Commands.Length - applied);
            using LoomStateMachine other = Open();
            Apply(other, 0, applied + ahead, null);

            // The model goes the same way.
            using (var ghost = Open())
            {
                Apply(ghost, 0, applied, null);
                Apply(ghost, applied, ahead, model);
            }

            applied += ahead;
            using IStateSnapshot snapshot = other.CaptureSnapshot(new StatePosition(applied, 1, default));
            using IStateInstallation installation = machine.BeginInstall(snapshot.At, snapshot.Header);
            for (StateChunk? chunk = snapshot.Read(default, 500); chunk is not null; chunk = snapshot.Read(chunk.Cursor, 500))
            {
                installation.Write(chunk);
            }

            installation.Complete();
            machine.Switch(installation);
        }

        private void Apply(LoomStateMachine target, int from, int count, NaiveStore? counted)
        {
            if (count == 0)
            {
                return;
            }

            Command[] commands = plan.Commands[from..(from + count)];
            ApplyResult[] results = ModelTests.Apply(target, commands, from, wantsResult: true);
            for (int i = 0; i < commands.Length && counted is not null; i++)
            {
                ModelTests.Same(commands[i], counted, results[i]);
            }
        }

        private LoomStateMachine Open()
        {
            var opened = new LoomStateMachine(new KeyIndex(), new EmptyRecords(() => new MemoryRecordStore(), () => new MemoryRecordStore()), plan.Limits);
            opened.Open(default);
            return opened;
        }
    }

    /// <summary>Reads now and then, a step at a time, and compares.</summary>
    private sealed class SlowReader : IWatcherOwner
    {
        private readonly Watcher watcher;
        private readonly long from;
        private long through;
        private long held;
        private bool isReady;

        public SlowReader(WatchHub hub, NaiveStore model, WatchQuery query)
        {
            watcher = new Watcher(query, this);
            Revision now = hub.Add(watcher);
            Assert.That(now.Number, Is.EqualTo(model.Revision));
            from = query.From.Number > 0 ? query.From.Number : now.Number + 1;
            through = from - 1;
            Assert.That(watcher.End is WatchCompactedException, Is.EqualTo(from < model.Compacted));
        }

        public void Ready(Watcher ready)
        {
            Assert.That(isReady, Is.False, "its owner is told once");
            isReady = true;
        }

        public long TryHold(PublishedRevision revision)
        {
            held += revision.Bytes;
            return revision.Bytes;
        }

        public void Release(long bytes)
        {
            held -= bytes;
            Assert.That(held, Is.GreaterThanOrEqualTo(0));
        }

        /// <summary>One step, if there is something to do.</summary>
        public void Read(WatchHub hub, NaiveStore model)
        {
            if (!isReady)
            {
                return;
            }

            WatchRead read = hub.Read(watcher);
            if (read.End is not null)
            {
                Assert.That(read.End, Is.InstanceOf<WatchCompactedException>());
                Assert.That(through + 1, Is.LessThan(model.Compacted), "it has lost nothing that is still there");
            }
            else if (read.Batch is { } batch)
            {
                Check(batch, model);
            }

            // Told again when there is more.
            isReady = !read.Rests;
        }

        public void IsComplete(NaiveStore model)
        {
            Assert.That(isReady, Is.False, "it came to rest, or was told why not");
            if (watcher.End is null)
            {
                Assert.That(held, Is.Zero);
                Assert.That(Expected(model, through, model.Revision), Is.Empty, $"from {from}, through {through}");
            }
        }

        private void Check(WatchBatch batch, NaiveStore model)
        {
            Assert.That(batch.Revision.Number, Is.GreaterThan(through).And.LessThanOrEqualTo(model.Revision));
            Assert.That(batch.Current.Number, Is.InRange(batch.Revision.Number, model.Revision));
            List<WatchEvent> expected = Expected(model, through, batch.Revision.Number);
            List<WatchEvent> delivered = [.. batch.Events];

            // At the compacted revision only the last change of each key is sure to be there.
            if (delivered.Count < expected.Count)
            {
                expected.RemoveAll(change => change.Pair.ModRevision == model.Compacted
                    && model.Events.Last(last => last.Pair.ModRevision == model.Compacted && SameKey(change, last)) != change);
            }

            Assert.That(delivered.Select(Text), Is.EqualTo(expected.Select(Text)), $"from {from}, after {through}");
            for (int i = 0; i < delivered.Count; i++)
            {
                bool mayBeGone = !watcher.Query.PreviousPairs || expected[i].Pair.ModRevision - 1 < model.Compacted;
                Assert.That(Text(delivered[i].Previous), Is.EqualTo(Text(expected[i].Previous)).Or.EqualTo(mayBeGone ? "" : Text(expected[i].Previous)));
                Assert.That(watcher.Query.PreviousPairs || delivered[i].Previous is null, Is.True);
            }

            through = batch.Revision.Number;
        }

        private List<WatchEvent> Expected(NaiveStore model, long after, long upTo) =>
        [
            .. model.Events.Where(change => change.Pair.ModRevision > after && change.Pair.ModRevision <= upTo && watcher.Range.Contains(change.Pair.Key.Span)
                && (change.Kind == WatchEventKind.Put ? watcher.Query.Puts : watcher.Query.Deletes)),
        ];

        private static bool SameKey(WatchEvent left, WatchEvent right) => left.Pair.Key.Span.SequenceEqual(right.Pair.Key.Span);

        private static string Text(WatchEvent change) => $"{change.Kind} {Text(change.Pair)}";

        private static string Text(KeyValue? pair) => pair is null ? "" :
            $"{Convert.ToHexString(pair.Key.Span)}={Convert.ToHexString(pair.Value.Span)} {pair.CreateRevision} {pair.ModRevision} {pair.Version}";
    }
}
