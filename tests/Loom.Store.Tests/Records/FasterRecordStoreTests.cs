using System.Buffers.Binary;
using Loom.Store.Mvcc;
using Loom.Store.Records;
using NUnit.Framework;

namespace Loom.Store.Tests.Records;

public sealed class FasterRecordStoreTests
{
    // 16 MiB of memory in 4 MiB pages: whatever is older is read from the disk.
    private static readonly RecordStoreOptions Small = new() { IndexBytes = 1 << 20, MemoryBytes = 16 << 20, PageBytes = 4 << 20, SegmentBytes = 16 << 20 };

    private string directory = null!;

    [SetUp]
    public void SetUp() => directory = Directory.CreateTempSubdirectory("loom-records-").FullName;

    [TearDown]
    public void TearDown() => Directory.Delete(directory, recursive: true);

    [Test]
    public void What_was_appended_is_read_back_hot_and_cold_by_one_and_by_many()
    {
        using FasterRecordStore store = FasterRecordStore.Open(directory, Small);
        const int count = 60_000;
        for (int i = 1; i <= count; i++)
        {
            // Sub far above 65,535 belongs to a large delete-range (S1).
            store.Append(Key(i), Value(Key(i)), i);
        }

        Assert.That(store.SizeBytes, Is.GreaterThan(2 * Small.MemoryBytes), "most of it is on the disk");
        for (int i = 1; i <= count; i += 97)
        {
            Assert.That(store.TryRead(Key(i), out ReadOnlyMemory<byte> record), Is.True);
            Assert.That(record.Span.SequenceEqual(Value(Key(i))), Is.True);
        }

        RecordKey[] keys = [.. Enumerable.Range(0, 1000).Select(i => i % 10 == 9 ? new RecordKey(count + 1 + i, 0) : Key(1 + (i * 59)))];
        ReadOnlyMemory<byte>[] results = new ReadOnlyMemory<byte>[keys.Length];
        store.ReadMany(keys, results);
        for (int i = 0; i < keys.Length; i++)
        {
            Assert.That(results[i].Span.SequenceEqual(i % 10 == 9 ? [] : Value(keys[i])), Is.True, $"{keys[i]}");
        }

        Assert.That(store.TryRead(new(1, 70_001), out _), Is.False);
    }

    [Test]
    public void Many_threads_read_while_the_applier_writes()
    {
        using FasterRecordStore store = FasterRecordStore.Open(directory, Small);
        long head = 0;
        bool stop = false;
        Thread[] readers = [.. Enumerable.Range(0, 68).Select(n => new Thread(() => Read(store, n, ref head, ref stop)))];
        failure = null;
        foreach (Thread thread in readers)
        {
            thread.Start();
        }

        for (int i = 1; i <= 20_000 && failure is null; i++)
        {
            store.Append(Key(i), Value(Key(i)), i);
            Volatile.Write(ref head, i);
        }

        Volatile.Write(ref stop, true);
        foreach (Thread thread in readers)
        {
            thread.Join();
        }

        Assert.That(failure, Is.Null);
    }

    private volatile string? failure;

    private void Read(FasterRecordStore store, int seed, ref long head, ref bool stop)
    {
        Random random = new(seed);
        RecordKey[] keys = new RecordKey[5];
        ReadOnlyMemory<byte>[] results = new ReadOnlyMemory<byte>[5];
        try
        {
            while (!Volatile.Read(ref stop))
            {
                long newest = Volatile.Read(ref head);
                if (newest == 0)
                {
                    Thread.Yield();
                    continue;
                }

                for (int i = 0; i < keys.Length; i++)
                {
                    keys[i] = Key((int)random.NextInt64(1, newest + 1));
                }

                store.ReadMany(keys, results);
                for (int i = 0; i < keys.Length; i++)
                {
                    if (!results[i].Span.SequenceEqual(Value(keys[i])))
                    {
                        failure = $"{keys[i]} read as {results[i].Length} bytes";
                    }
                }
            }
        }
        catch (Exception e)
        {
            failure = e.ToString();
        }
    }

    [Test]
    public void A_flipped_byte_on_the_disk_is_never_served()
    {
        using FasterRecordStore store = FasterRecordStore.Open(directory, Small);
        for (int i = 1; i <= 40_000; i++)
        {
            store.Append(Key(i), Value(Key(i)), i);
        }

        // Flip one byte inside the value of some records, found by their content.
        string file = Path.Combine(directory, "hlog.log.0");
        byte[] bytes = File.ReadAllBytes(file);
        List<RecordKey> damaged = [];
        using (FileStream stream = new(file, FileMode.Open, FileAccess.Write, FileShare.ReadWrite))
        {
            for (int i = 100; i < 2000; i += 100)
            {
                int at = bytes.AsSpan().IndexOf(Value(Key(i)));
                Assert.That(at, Is.GreaterThan(0));
                stream.Position = at + (i % 100) + (i / 100);
                stream.WriteByte((byte)~bytes[stream.Position]);
                damaged.Add(Key(i));
            }
        }

        foreach (RecordKey key in damaged)
        {
            LoomException error = Assert.Throws<LoomException>(() => store.TryRead(key, out _))!;
            Assert.That(error.Code, Is.EqualTo(LoomErrorCode.Corruption));
            Assert.That(error.Message, Does.Contain($"{key.Main}.{key.Sub}").And.Contain("hlog.log"));
        }

        Assert.That(store.TryRead(Key(150), out _), Is.True, "its neighbours are fine");
    }

    [Test]
    public void Damage_of_any_kind_gives_an_error_or_an_absence_and_never_a_wrong_record()
    {
        List<Exception> faults = [];
        using FasterRecordStore store = FasterRecordStore.Open(directory, Small, e =>
        {
            lock (faults)
            {
                faults.Add(e);
            }
        });
        for (int i = 1; i <= 40_000; i++)
        {
            store.Append(Key(i), Value(Key(i)), i);
        }

        // Random bytes over the first file, headers and lengths included.
        string file = Path.Combine(directory, "hlog.log.0");
        Random random = new(7);
        using (FileStream stream = new(file, FileMode.Open, FileAccess.Write, FileShare.ReadWrite))
        {
            for (int i = 0; i < 1500; i++)
            {
                stream.Position = random.Next(4096, 4 << 20);
                stream.WriteByte((byte)random.Next(256));
            }
        }

        int served = 0, absent = 0, refused = 0;
        for (int i = 1; i <= 3_000; i++)
        {
            try
            {
                if (store.TryRead(Key(i), out ReadOnlyMemory<byte> record))
                {
                    served++;
                    Assert.That(record.Span.SequenceEqual(Value(Key(i))), Is.True);
                }
                else
                {
                    absent++;
                }
            }
            catch (LoomException)
            {
                refused++;
            }
        }

        TestContext.Out.WriteLine($"{served} served, {absent} absent, {refused} refused, faults: {string.Join("; ", faults.Select(f => f.Message))}");
        Assert.That(absent + refused, Is.GreaterThan(300));
    }

    [Test]
    public void A_failed_write_ends_the_store_and_hangs_nobody()
    {
        TaskCompletionSource<Exception> fault = new();
        using FasterRecordStore store = FasterRecordStore.Open(directory, Small, fault.SetResult);
        int written = 0;
        store.Device.BeforeWrite = (_, _) =>
        {
            if (++written == 3)
            {
                throw new IOException("No space left on device");
            }
        };
        LoomException error = Assert.Throws<LoomException>(() =>
        {
            for (int i = 1; i <= 500_000; i++)
            {
                store.Append(Key(i), Value(Key(i)), i);
            }
        })!;
        Assert.Multiple(() =>
        {
            Assert.That(error.Code, Is.EqualTo(LoomErrorCode.Failed));
            Assert.That(error.Message, Does.Contain("hlog.log").And.Contain("No space left on device"));
            Assert.That(fault.Task.Wait(5000) ? fault.Task.Result.Message : "", Does.Contain("No space left"));
            Assert.That(Assert.Throws<LoomException>(() => store.TryRead(Key(1), out _))!.Code, Is.EqualTo(LoomErrorCode.Failed));
        });
    }

    [Test]
    public void Closing_waits_for_readers_and_turns_later_ones_away()
    {
        List<Exception> faults = [];
        FasterRecordStore store = OpenWithColdRecords(e =>
        {
            lock (faults)
            {
                faults.Add(e);
            }
        });
        List<Exception> ends = [];
        using CountdownEvent started = new(8);
        Thread[] readers = [.. Enumerable.Range(0, 8).Select(n => new Thread(() =>
        {
            try
            {
                for (int i = n; ; i += 8)
                {
                    // Both ends of the log: cold ones are under way for longer.
                    RecordKey key = Key(1 + (i % 40_000));
                    if (!store.TryRead(key, out ReadOnlyMemory<byte> record) || !record.Span.SequenceEqual(Value(key)))
                    {
                        throw new InvalidDataException($"{key} read as {record.Length} bytes");
                    }

                    if (i == n)
                    {
                        started.Signal();
                    }
                }
            }
            catch (Exception e)
            {
                lock (ends)
                {
                    ends.Add(e);
                }
            }
        }))];
        foreach (Thread reader in readers)
        {
            reader.Start();
        }

        started.Wait();
        store.Dispose();
        Assert.That(readers.All(r => r.Join(5000)), Is.True, "nobody hangs in FASTER");
        Assert.That(ends, Has.Count.EqualTo(8).And.All.InstanceOf<LoomException>().And.All.Property("Code").EqualTo(LoomErrorCode.Stopped));
        Assert.That(() => store.TryRead(Key(1), out _), Throws.InstanceOf<LoomException>().With.Property("Code").EqualTo(LoomErrorCode.Stopped));
        Assert.That(store.SizeBytes, Is.Positive, "status is still asked for");
        Assert.That(faults, Is.Empty, "closing is nobody's alarm");
    }

    [Test]
    public void A_reader_that_the_disk_holds_up_keeps_the_memory_that_it_reads()
    {
        FasterRecordStore store = OpenWithColdRecords(null);
        using ManualResetEventSlim disk = new();
        using ManualResetEventSlim entered = new();
        store.Device.BeforeRead = () =>
        {
            entered.Set();
            disk.Wait();
        };
        Task<byte[]> read = Task.Factory.StartNew(() => store.TryRead(Key(1), out ReadOnlyMemory<byte> record) ? record.ToArray() : [], TaskCreationOptions.LongRunning);
        entered.Wait();
        long start = Environment.TickCount64;
        store.Dispose();
        Assert.That(Environment.TickCount64 - start, Is.LessThan(2000), "closing is bounded (N5)");
        disk.Set();
        Assert.That(read.Wait(5000), Is.True);
        Assert.That(read.Result, Is.EqualTo(Value(Key(1))));
    }

    [Test]
    public void The_applier_waits_for_no_reader()
    {
        using FasterRecordStore store = OpenWithColdRecords(null);
        using ManualResetEventSlim disk = new();
        store.Device.BeforeRead = disk.Wait;

        // More than there are places for.
        Task[] readers = [.. Enumerable.Range(1, 80).Select(i => Task.Factory.StartNew(() => store.TryRead(Key(i), out _), TaskCreationOptions.LongRunning))];
        try
        {
            Assert.That(() => RecordReaderPool.FreePlaces, Is.Zero.After(5000, 5));
            Task<bool> own = Task.Factory.StartNew(() => store.WriterReads.TryRead(Key(40_000), out _), TaskCreationOptions.LongRunning);
            Assert.That(own.Wait(5000) && own.Result, Is.True);
        }
        finally
        {
            disk.Set();
            Task.WaitAll(readers);
        }
    }

    private FasterRecordStore OpenWithColdRecords(Action<Exception>? onFault)
    {
        FasterRecordStore store = FasterRecordStore.Open(directory, Small, onFault);
        for (int i = 1; i <= 40_000; i++)
        {
            store.Append(Key(i), Value(Key(i)), i);
        }

        return store;
    }

    [Test]
    public void A_replayed_record_writes_nothing_and_a_different_one_is_refused()
    {
        using FasterRecordStore store = FasterRecordStore.Open(directory, Small);
        store.Append(new(1, 0), "one"u8, 1);
        long size = store.SizeBytes;
        store.Append(new(1, 0), "one"u8, 1);
        Assert.That(store.SizeBytes, Is.EqualTo(size));
        Assert.Throws<InvalidOperationException>(() => store.Append(new(1, 0), "two"u8, 1));
    }

    [Test]
    public void The_largest_request_fits_and_a_larger_record_is_refused()
    {
        using FasterRecordStore store = FasterRecordStore.Open(directory, Small);
        byte[] large = new byte[FasterRecordStore.MaxRecordBytes];
        new Random(1).NextBytes(large);
        for (int i = 1; i <= 20; i++)
        {
            store.Append(new(i, 0), large, i);
        }

        for (int i = 1; i <= 20; i++)
        {
            Assert.That(store.TryRead(new(i, 0), out ReadOnlyMemory<byte> record) && record.Span.SequenceEqual(large), Is.True);
        }

        Assert.Throws<ArgumentOutOfRangeException>(() => store.Append(new(21, 0), new byte[FasterRecordStore.MaxRecordBytes + 1], 21));
    }

    [Test]
    public void Opening_empties_the_directory_of_records_and_touches_nothing_else()
    {
        File.WriteAllText(Path.Combine(directory, "notes.txt"), "mine");
        using (FasterRecordStore store = FasterRecordStore.Open(directory, Small))
        {
            for (int i = 1; i <= 40_000; i++)
            {
                store.Append(Key(i), Value(Key(i)), i);
            }
        }

        using (FasterRecordStore store = FasterRecordStore.Open(directory, Small))
        {
            Assert.That(store.TryRead(Key(1), out _), Is.False);
            Assert.That(File.ReadAllText(Path.Combine(directory, "notes.txt")), Is.EqualTo("mine"));
        }
    }

    private static RecordKey Key(int i) => i % 7 == 0 ? new(i / 7, 70_000) : new(1_000_000 + i, i % 5);

    // 600 to 1,400 bytes that follow from the key, so that a record under the wrong key is seen.
    private static byte[] Value(RecordKey key)
    {
        byte[] value = new byte[600 + (int)(((key.Main * 7919) + key.Sub) % 800)];
        for (int i = 0; i + 12 <= value.Length; i += 12)
        {
            BinaryPrimitives.WriteInt64LittleEndian(value.AsSpan(i), key.Main);
            BinaryPrimitives.WriteInt32LittleEndian(value.AsSpan(i + 8), key.Sub ^ i);
        }

        return value;
    }
}
