using BenchmarkDotNet.Attributes;
using Loom.Store.Mvcc;

namespace Loom.Bench.Micro;

/// <summary>The ordered key index with a million keys.</summary>
public class KeyIndexBenchmarks
{
    private const int Count = 1_000_000;

    private readonly byte[][] keys = BenchKeys.Make(Count);
    private readonly byte[] start = "jobs/cluster05/000500000"u8.ToArray();
    private readonly byte[] prefix = "jobs/cluster05/"u8.ToArray();
    private readonly byte[] prefixEnd = "jobs/cluster050"u8.ToArray();
    private KeyIndex index = null!;
    private long revision;
    private int next;

    [GlobalSetup]
    public void Fill()
    {
        index = new();
        revision = 0;
        foreach (byte[] key in keys)
        {
            index.Put(key, new(++revision, 0), revision, 1);
            if (revision % 64 == 0)
            {
                index.Publish();
            }
        }

        index.Publish();
    }

    /// <summary>Newest revision of a random key.</summary>
    [Benchmark]
    public bool Lookup() => index.TryFind(keys[Next()], revision, out _);

    /// <summary>100 keys in order.</summary>
    [Benchmark]
    public int RangeOf100()
    {
        Taker taker = new(100);
        index.Visit(start, [], revision, ref taker);
        return taker.Left;
    }

    /// <summary>How many of 77,000 keys are live.</summary>
    [Benchmark]
    public long CountPrefix() => index.Count(prefix, prefixEnd, revision);

    /// <summary>A new version of a random key, published by itself.</summary>
    [Benchmark]
    public void Update()
    {
        byte[] key = keys[Next()];
        index.TryGetNewest(key, out KeyHead head);
        index.Put(key, new(++revision, 0), head.Create, head.Version + 1);
        index.Publish();
    }

    /// <summary>64 new versions of random keys, published together: what apply does under load.</summary>
    [Benchmark(OperationsPerInvoke = 64)]
    public void UpdateInBatchesOf64()
    {
        for (int i = 0; i < 64; i++)
        {
            byte[] key = keys[Next()];
            index.TryGetNewest(key, out KeyHead head);
            index.Put(key, new(++revision, 0), head.Create, head.Version + 1);
        }

        index.Publish();
    }

    private int Next() => next = next + 1 == Count ? 0 : next + 1;

    private struct Taker(int left) : IKeyVisitor
    {
        public int Left = left;

        public bool Visit(ReadOnlySpan<byte> key, RecordKey at) => --Left > 0;
    }
}
