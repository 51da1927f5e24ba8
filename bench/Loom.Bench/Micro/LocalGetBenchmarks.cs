using BenchmarkDotNet.Attributes;
using Loom.Store.Mvcc;
using Loom.Store.Records;

namespace Loom.Bench.Micro;

/// <summary>The path of a local get, value in memory: index lookup, FASTER read, copy, checksum. 100,000 keys with values of 256 bytes.</summary>
public class LocalGetBenchmarks
{
    private const int Count = 100_000;

    private readonly byte[][] keys = BenchKeys.Make(Count);
    private readonly KeyIndex index = new();
    private string directory = null!;
    private FasterRecordStore store = null!;
    private int next;

    [GlobalSetup]
    public void Fill()
    {
        directory = Directory.CreateTempSubdirectory("loom-bench-").FullName;
        store = FasterRecordStore.Open(directory);
        byte[] record = new byte[312];
        for (int i = 0; i < Count; i++)
        {
            store.Append(new(i + 1, 0), record, i + 1);
            index.Put(keys[i], new(i + 1, 0), i + 1, 1);
        }

        index.Publish();
        new Random(2).Shuffle(keys);
    }

    [GlobalCleanup]
    public void Close()
    {
        store.Dispose();
        Directory.Delete(directory, recursive: true);
    }

    [Benchmark]
    public int Get()
    {
        next = next + 1 == Count ? 0 : next + 1;
        return index.TryFind(keys[next], Count, out RecordKey at) && store.TryRead(at, out ReadOnlyMemory<byte> record) ? record.Length : throw new InvalidOperationException();
    }
}
