using BenchmarkDotNet.Attributes;
using Loom.Raft.Consensus;
using Loom.Raft.Replica;
using Loom.Store.Applying;
using Loom.Store.Commands;
using Loom.Store.Model;
using Loom.Store.Mvcc;
using Loom.Store.Records;

namespace Loom.Bench.Micro;

/// <summary>Committed puts of 256 bytes through the whole applier: decode, decide, install in FASTER and index, hash, publish. 100,000 keys, batches of 64 entries.</summary>
public class ApplyBenchmarks
{
    private const int Count = 100_000;
    private const int Batch = 64;

    private readonly CommittedEntry[] entries = new CommittedEntry[Batch];
    private readonly ApplyResult[] results = new ApplyResult[Batch];
    private byte[][] payloads = null!;
    private string directory = null!;
    private LoomStateMachine machine = null!;
    private long index;
    private int next;

    [GlobalSetup]
    public void Fill()
    {
        directory = Directory.CreateTempSubdirectory("loom-bench-").FullName;
        machine = new(new KeyIndex(), FasterRecordStore.Open(directory));
        machine.Open(default);
        payloads = [.. BenchKeys.Make(Count).Select(key => CommandWriter.Encode(new PutCommand(new PutOperation(key, new byte[256]))))];
        for (int i = 0; i < Count / Batch; i++)
        {
            Puts();
        }
    }

    [GlobalCleanup]
    public void Close()
    {
        machine.Close();
        machine.Dispose();
        Directory.Delete(directory, recursive: true);
    }

    /// <summary>Time per entry.</summary>
    [Benchmark(OperationsPerInvoke = Batch)]
    public void Puts()
    {
        for (int i = 0; i < Batch; i++)
        {
            next = next + 1 == Count ? 0 : next + 1;
            index++;
            entries[i] = new(index, 1, index, EntryKind.Command, payloads[next], WantsResult: false);
        }

        machine.ApplyBatch(entries, results);
        if (results[^1].Outcome.Code != 0)
        {
            throw new InvalidOperationException("a put was refused");
        }
    }
}
