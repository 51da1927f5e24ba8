using System.Text;
using Loom.Store.Mvcc;
using NUnit.Framework;

namespace Loom.Store.Tests.Mvcc;

/// <summary>
/// Readers against a running writer. Every transaction moves a token: it puts all keys of one group or deletes them all, so that at each revision a group is there as a whole or not at all,
/// and what a reader must find follows from the revision alone.
/// </summary>
public sealed class KeyIndexConcurrencyTests
{
    private const int Groups = 40;
    private const int PerGroup = 30;

    private readonly KeyIndex index = new();
    private long head = 1;
    private long compacted;
    private volatile string? failure;
    private long checks;

    [Test]
    public void Readers_see_whole_transactions_while_the_writer_updates_deletes_and_compacts()
    {
        bool stop = false;
        Thread[] readers = [.. Enumerable.Range(1, 3).Select(n => new Thread(() => Read(n, ref stop)))];
        foreach (Thread reader in readers)
        {
            reader.Start();
        }

        DateTime until = DateTime.UtcNow.AddSeconds(3);
        int transactions = 0;
        while (failure is null && (DateTime.UtcNow < until || Interlocked.Read(ref checks) < 200))
        {
            Write();
            if (++transactions % 300 == 0)
            {
                CompactSome();
            }
        }

        stop = true;
        foreach (Thread reader in readers)
        {
            reader.Join();
        }

        TestContext.Out.WriteLine($"{transactions} transactions, {checks} checks, {index.SlabBytes} bytes");
        Assert.That(failure, Is.Null);
        index.Publish();
        Assert.That(index.Retired, Is.Zero);
    }

    // Revision r works on group (r * 7) % Groups: deletes it when r % 5 == 0 and it is live, else puts it.
    private void Write()
    {
        long revision = head + 1;
        int group = Group(revision);
        bool deletes = Deletes(revision);
        for (int i = 0; i < PerGroup; i++)
        {
            byte[] key = Key(group, i);
            bool live = index.TryGetNewest(key, out KeyHead newest) && !newest.IsDeleted;
            if (!deletes)
            {
                index.Put(key, new(revision, i), live ? newest.Create : revision, live ? newest.Version + 1 : 1);
            }
            else if (live)
            {
                index.Delete(key, new(revision, i));
            }
        }

        index.Publish();
        Volatile.Write(ref head, revision);
    }

    private void CompactSome()
    {
        long at = head - 50;
        Volatile.Write(ref compacted, at);
        List<RecordKey> removed = [];
        byte[]? cursor = null;
        while (!index.Compact(at, ref cursor, 100, removed))
        {
            Write();
        }
    }

    private void Read(int seed, ref bool stop)
    {
        Random random = new(seed);
        try
        {
            while (!Volatile.Read(ref stop) && failure is null)
            {
                long newest = Volatile.Read(ref head);
                long revision = newest - random.Next(0, 45);
                if (revision < 50)
                {
                    continue;
                }

                int group = random.Next(Groups);
                long last = LastRevisionOf(group, revision);
                bool live = last > 1 && !Deletes(last);
                GroupCheck check = new(group, last);
                index.Visit(Key(group, 0), Key(group, PerGroup), revision, ref check);
                bool found = index.TryFind(Key(group, 3), revision, out RecordKey at);
                long count = index.Count(Key(group, 0), Key(group, PerGroup), revision);

                // Whoever reads below a compaction that came meanwhile is turned away.
                if (revision >= Volatile.Read(ref compacted))
                {
                    if (check.Wrong || check.Keys != (live ? PerGroup : 0) || found != live || (found && at != new RecordKey(last, 3)) || count != check.Keys)
                    {
                        failure = $"group {group} at {revision}: {check.Keys} keys, wrong {check.Wrong}, found {found} {at}, count {count}; last change {last}, live {live}";
                    }

                    Interlocked.Increment(ref checks);
                }
            }
        }
        catch (Exception e)
        {
            failure = e.ToString();
        }
    }

    private static int Group(long revision) => (int)(revision * 7 % Groups);

    private static bool Deletes(long revision) => (revision / Groups) % 3 == 2;

    private static long LastRevisionOf(int group, long revision)
    {
        while (revision > 1 && Group(revision) != group)
        {
            revision--;
        }

        return revision;
    }

    private static byte[] Key(int group, int i) => Encoding.UTF8.GetBytes($"group/{group:D3}/key/{i:D3}");

    private struct GroupCheck(int group, long main) : IKeyVisitor
    {
        public int Keys;
        public bool Wrong;

        public bool Visit(ReadOnlySpan<byte> key, RecordKey at)
        {
            Wrong |= !key.SequenceEqual(Key(group, Keys)) || at != new RecordKey(main, Keys);
            Keys++;
            return true;
        }
    }
}
