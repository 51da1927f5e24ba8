using BenchmarkDotNet.Attributes;
using Loom.Raft.Consensus;
using Loom.Raft.Log;
using Loom.Raft.Membership;

namespace Loom.Bench.Micro;

/// <summary>The durable log on this disk: append, write, fdatasync. LOOM_BENCH_DIR chooses the disk; the default is the temporary directory.</summary>
public class LogAppendBenchmarks
{
    private readonly byte[] body = new byte[320];
    private string directory = null!;
    private DurableLog log = null!;
    private long index;

    /// <summary>Entries that share one flush.</summary>
    [Params(1, 64)]
    public int Batch { get; set; }

    [GlobalSetup]
    public void Open()
    {
        string? disk = Environment.GetEnvironmentVariable("LOOM_BENCH_DIR");
        directory = disk is null ? Directory.CreateTempSubdirectory("loom-bench-").FullName : Path.Combine(disk, "loom-bench-log");
        Member member = new(new MemberId(1), 1, "bench", "here", MemberRole.Voter, [], []);
        log = DurableLog.Create(PosixFileSystem.Instance, directory + "/raft", new LogIdentity(1, member.Id), new Configuration(PlacementGoal.Majority, [member], []), 1).Log;
        index = log.LastIndex;
    }

    [GlobalCleanup]
    public void Close()
    {
        log.Dispose();
        Directory.Delete(directory, recursive: true);
    }

    /// <summary>One durable batch.</summary>
    [Benchmark]
    public void AppendDurably()
    {
        Entry[] entries = new Entry[Batch];
        for (int i = 0; i < entries.Length; i++)
        {
            entries[i] = new Entry(++index, 1, EntryKind.Command, index, body);
        }

        log.Append(entries);
        while (log.TakeBatch() is { } batch)
        {
            batch.Write();
            batch.Flush();
            log.Completed(batch.Sequence, null);
        }

        log.AdvanceApplied(index);
        if (index % 65_536 < entries.Length && index > 65_536)
        {
            // Keeps the bench's disk use bounded, as snapshots will.
            log.TruncateBelow(index - 65_536);
        }

        while (log.PrepareAhead())
        {
        }
    }
}
