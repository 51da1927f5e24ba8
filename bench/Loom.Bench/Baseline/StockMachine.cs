using System.Buffers;
using System.Buffers.Binary;
using DotNext.Net.Cluster.Consensus.Raft;
using DotNext.Net.Cluster.Consensus.Raft.StateMachine;

namespace Loom.Bench.Baseline;

/// <summary>The smallest machine on DotNext's stock Raft: remembers which numbered writes were applied.</summary>
internal sealed class StockMachine : IStateMachine
{
    private readonly HashSet<long> numbers = [];
    private readonly Lock gate = new();

    public ISnapshot? Snapshot => null; // Never truncated: runs must stay short.

    public ValueTask ReclaimGarbageAsync(long watermark, CancellationToken token) => default;

    public ValueTask<long> ApplyAsync(LogEntry entry, CancellationToken token)
    {
        if (entry.TryGetPayload(out ReadOnlySequence<byte> payload) && payload.Length >= 8)
        {
            Span<byte> number = stackalloc byte[8];
            payload.Slice(0, 8).CopyTo(number);
            lock (gate)
            {
                numbers.Add(BinaryPrimitives.ReadInt64LittleEndian(number));
            }
        }

        (entry.Context as TaskCompletionSource<long>)?.TrySetResult(entry.Index);
        return new(entry.Index);
    }

    public long[] Numbers()
    {
        lock (gate)
        {
            return [.. numbers];
        }
    }
}

/// <summary>The stock log, made to flush before a follower answers: the fair line beside Loom, whose acknowledgements mean a flush.</summary>
internal sealed class FlushBeforeAckLog(WriteAheadLog.Options options, IStateMachine machine) : WriteAheadLog(options, machine), IPersistentState
{
    async ValueTask DotNext.IO.Log.IAuditTrail<IRaftLogEntry>.AppendAsync<TEntry>(DotNext.IO.Log.ILogEntryProducer<TEntry> entries, long startIndex, bool skipCommitted, CancellationToken token)
    {
        await AppendAsync(entries, startIndex, skipCommitted, token);
        await FlushAsync(token);
    }
}
