using Loom.Raft.Consensus;

namespace Loom.Raft.Replica;

/// <summary>What a replica needs of its log beside the core's view: which write makes what durable. Implemented by Log/DurableLog.</summary>
internal interface IReplicaLog : IRaftLog
{
    /// <summary>Sequence of the write that holds everything written to the log so far: a message that waits for a flush (L8) may leave when <see cref="DurableSequence"/> reaches it.</summary>
    long WriteSequence { get; }

    /// <summary>Every write up to this sequence is flushed here.</summary>
    long DurableSequence { get; }

    /// <summary>A batch waits to be taken by the log writer.</summary>
    bool HasWork { get; }

    /// <summary>Bytes on disk, for status.</summary>
    long SizeBytes { get; }

    /// <summary>About how many bytes on disk hold the entries behind an index.</summary>
    long BytesAbove(long index);

    /// <summary>The batch that is out was flushed, or failed (L1).</summary>
    void Completed(long sequence, Exception? error);

    /// <summary>Entries up to here are applied, so their memory may go.</summary>
    void AdvanceApplied(long index);
}
