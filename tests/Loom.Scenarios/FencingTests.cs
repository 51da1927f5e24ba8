using System.Diagnostics;
using System.Globalization;
using System.Text;
using Loom.Scenarios.Processes;
using Loom.Store;
using Loom.Store.Model;
using Loom.Testing;
using NUnit.Framework;

namespace Loom.Scenarios;

/// <summary>
/// A lock in three real processes, each with a voter in it, and what they write while they hold it, seen by a standby in the test's process. The rule: once a later holder has written, no earlier one does.
/// </summary>
[NonParallelizable]
public sealed class FencingTests
{
    /// <summary>Writes that must be seen of a holder before something is done to it.</summary>
    private const int Some = 10;

    [Test]
    public async Task A_holder_that_was_stopped_and_wakes_up_cannot_write()
    {
        const int Seconds = 5;
        await RunAsync(Seconds, isFenced: true, async scene =>
        {
            // Stopped between its look and its write; another one holds the lock and writes; then it goes on.
            Write first = await scene.WritesAsync(Some, _ => true);
            HolderProcess stopped = scene.Named(first.Holder);
            stopped.Pause();
            Write second = await scene.WritesAsync(Some, write => write.Token > first.Token);
            Assert.That(second.Holder, Is.Not.EqualTo(first.Holder));
            stopped.Resume();
            string refused = $"refused 0.{first.Token} ";
            await scene.UntilAsync(() => stopped.Lines.Any(line => line.StartsWith(refused, StringComparison.Ordinal)), "it was not refused");
            Assert.That(stopped.Lines.Single(line => line.StartsWith(refused, StringComparison.Ordinal)), Does.EndWith(": FenceLost NotApplied"));
            second = await scene.WritesAsync(Some, write => write.Token >= second.Token);

            // Killed: the lock is free when its lease has ended, and not before.
            HolderProcess killed = scene.Named(second.Holder);
            Stopwatch time = Stopwatch.StartNew();
            killed.Kill();
            Write third = await scene.WritesAsync(1, write => write.Token > second.Token);
            TestContext.Out.WriteLine($"taken over {time.Elapsed.TotalSeconds:F1} s after kill -9");
            Assert.That(time.Elapsed.TotalSeconds, Is.GreaterThan(Seconds / 2.0), "its lease cannot have ended: it is renewed every third of its time");
            killed.Start();
            third = await scene.WritesAsync(Some, write => write.Token >= third.Token);

            // Ended in order: the next one has it at once.
            time.Restart();
            await scene.Named(third.Holder).EndAsync();
            Write fourth = await scene.WritesAsync(Some, write => write.Token > third.Token);
            TestContext.Out.WriteLine($"taken over {time.Elapsed.TotalSeconds:F1} s after a clean end, with {Some} writes");
            Assert.That(fourth.Holder, Is.Not.EqualTo(third.Holder));
            scene.RequireOrder();
        });
    }

    /// <summary>It goes on for longer than its lease lives, so it was renewed at the new leader.</summary>
    [Test]
    public async Task A_change_of_the_clusters_leader_is_nothing_to_a_holder()
    {
        TestRun.RequireTime();
        const int Seconds = 12;
        await RunAsync(Seconds, isFenced: true, async scene =>
        {
            Write first = await scene.WritesAsync(Some, _ => true);
            foreach (HolderProcess holder in scene.Holders)
            {
                holder.Say("transfer");
            }

            Stopwatch time = Stopwatch.StartNew();
            await scene.UntilAsync(() => scene.Holders.Any(holder => holder.Lines.Contains("transferred")), "no transfer");
            Write later = await scene.WritesAsync(Some, _ => time.Elapsed.TotalSeconds > Seconds + 1);
            Assert.That(later.Token, Is.EqualTo(first.Token), "the hold did not survive a change of leader\n" + scene.Outputs());
            scene.RequireOrder();
        });
    }

    /// <summary>The scene itself, judged: the same holder, without the fence, does write after its successor.</summary>
    [Test]
    public async Task Without_the_fence_the_same_holder_does_write()
    {
        TestRun.RequireTime();
        await RunAsync(5, isFenced: false, async scene =>
        {
            Write first = await scene.WritesAsync(Some, _ => true);
            HolderProcess stopped = scene.Named(first.Holder);
            stopped.Pause();
            Write second = await scene.WritesAsync(Some, write => write.Token > first.Token);
            stopped.Resume();
            await scene.WritesAsync(1, write => write.Token == first.Token && write.Revision > second.Revision);
            Assert.That(scene.RequireOrder, Throws.InstanceOf<AssertionException>());
        });
    }

    /// <summary>A member answers nothing until it has found its cluster.</summary>
    private static async Task UntilItServesAsync(LoomStore store)
    {
        for (int i = 0; ; i++)
        {
            try
            {
                store.Range(new RangeQuery(KeyRange.All));
                return;
            }
            catch (LoomException exception) when (exception.Code == LoomErrorCode.StateAwaited && i < 600)
            {
                await Task.Delay(50);
            }
        }
    }

    private static async Task RunAsync(int timeToLiveSeconds, bool isFenced, Func<Scene, Task> act)
    {
        string root = Directory.CreateTempSubdirectory("loom-scenario-").FullName;
        try
        {
            int[] ports = FreePorts.Take(4);
            HolderProcess[] holders = [.. Enumerable.Range(0, 3).Select(i => new HolderProcess($"holder{i}", Path.Combine(root, $"holder{i}"), ports, timeToLiveSeconds, isFenced))];
            try
            {
                foreach (HolderProcess holder in holders)
                {
                    holder.Start();
                }

                await using LoomStore observer = await LoomStore.OpenAsync(HolderProgram.Options("observer", Path.Combine(root, "observer"), ports));
                await UntilItServesAsync(observer);
                await using Scene scene = new(observer, holders);
                await act(scene);
            }
            finally
            {
                foreach (HolderProcess holder in holders)
                {
                    holder.Dispose();
                }
            }
        }
        finally
        {
            Directory.Delete(root, recursive: true);
        }
    }

    /// <param name="Revision">Of the write.</param>
    /// <param name="Token">Revision of the fencing token under which it was made.</param>
    /// <param name="Holder">Who made it.</param>
    private sealed record Write(long Revision, long Token, string Holder);

    private sealed class Scene : IAsyncDisposable
    {
        private readonly CancellationTokenSource stop = new();
        private readonly List<Write> writes = [];
        private readonly Task watching;

        public Scene(LoomStore observer, IReadOnlyList<HolderProcess> holders)
        {
            Holders = holders;
            watching = WatchAsync(observer);
        }

        public IReadOnlyList<HolderProcess> Holders { get; }

        public Write Last
        {
            get
            {
                lock (writes)
                {
                    return writes[^1];
                }
            }
        }

        public HolderProcess Named(string name) => Holders.Single(holder => holder.Name == name);

        /// <summary>Waits for so many writes of this kind, from now on; the last of them.</summary>
        public async Task<Write> WritesAsync(int count, Func<Write, bool> wanted)
        {
            int from;
            lock (writes)
            {
                from = writes.Count;
            }

            Write? last = null;
            await UntilAsync(
                () =>
                {
                    lock (writes)
                    {
                        while (from < writes.Count && count > 0)
                        {
                            last = wanted(writes[from]) ? writes[from] : last;
                            count -= wanted(writes[from++]) ? 1 : 0;
                        }

                        return count == 0;
                    }
                },
                "no such writes");
            return last!;
        }

        public async Task UntilAsync(Func<bool> condition, string what)
        {
            DateTime until = DateTime.UtcNow.AddSeconds(60);
            while (!condition())
            {
                if (DateTime.UtcNow > until || watching.IsCompleted)
                {
                    throw new TimeoutException($"{what} ({watching.Exception?.Message})\n{Outputs()}");
                }

                await Task.Delay(10);
            }
        }

        public void RequireOrder()
        {
            lock (writes)
            {
                Assert.That(writes.Select(write => write.Revision), Is.Ordered);
                string[] late = [.. writes.Skip(1).Zip(writes).Where(pair => pair.First.Token < pair.Second.Token).Select(pair => $"{pair.First} after {pair.Second}")];
                Assert.That(late, Is.Empty, "an earlier holder wrote after a later one");
            }
        }

        public string Outputs() => string.Join('\n', Holders.Select(holder => $"== {holder.Name}\n{string.Join('\n', holder.Lines.TakeLast(40))}"));

        public async ValueTask DisposeAsync()
        {
            await stop.CancelAsync();
            await watching.ContinueWith(static _ => { }, TaskScheduler.Default);
            stop.Dispose();
        }

        private async Task WatchAsync(LoomStore observer)
        {
            byte[] key = Encoding.UTF8.GetBytes(HolderProgram.GuardedKey);
            await foreach (WatchBatch batch in observer.WatchAsync(KeyRange.Single(key), new Revision(1), stop.Token))
            {
                foreach (WatchEvent change in batch.Events)
                {
                    string[] words = Encoding.UTF8.GetString(change.Pair.Value.Span).Split(' ');
                    lock (writes)
                    {
                        writes.Add(new Write(change.Pair.ModRevision, long.Parse(words[0], CultureInfo.InvariantCulture), words[1]));
                    }
                }
            }
        }
    }
}
