using BenchmarkDotNet.Attributes;
using Loom.Store.Mvcc;
using Loom.Store.Records;

namespace Loom.Bench.Micro;

/// <summary>The record store with 100,000 records of 312 bytes in memory.</summary>
public class RecordBenchmarks
{
    private const int Count = 100_000;

    private readonly byte[] record = new byte[312];
    private readonly RecordKey[] keys = new RecordKey[100];
    private readonly ReadOnlyMemory<byte>[] results = new ReadOnlyMemory<byte>[100];
    private string directory = null!;
    private FasterRecordStore store = null!;
    private long revision;
    private int next;

    [GlobalSetup]
    public void Fill()
    {
        directory = Directory.CreateTempSubdirectory("loom-bench-").FullName;
        store = FasterRecordStore.Open(directory);
        new Random(1).NextBytes(record);
        revision = 0;
        for (int i = 0; i < Count; i++)
        {
            store.Append(new(++revision, 0), record, revision);
        }

        for (int i = 0; i < keys.Length; i++)
        {
            keys[i] = new((i * 7919L % Count) + 1, 0);
        }
    }

    [GlobalCleanup]
    public void Close()
    {
        store.Dispose();
        Directory.Delete(directory, recursive: true);
    }

    /// <summary>One random record, copied out and checked.</summary>
    [Benchmark]
    public bool Read()
    {
        next = (next + 7919) % Count;
        return store.TryRead(new(next + 1, 0), out _);
    }

    /// <summary>100 random records.</summary>
    [Benchmark]
    public void ReadManyOf100() => store.ReadMany(keys, results);

    /// <summary>One new record; pages go to the disk as they fill.</summary>
    [Benchmark]
    public void Append() => store.Append(new(++revision, 0), record, revision);
}
