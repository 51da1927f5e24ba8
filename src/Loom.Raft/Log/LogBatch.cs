namespace Loom.Raft.Log;

/// <summary>
/// Everything that one write and one flush make durable. The loop fills it, <see cref="DurableLog.TakeBatch"/> hands it to the log writer, which alone calls
/// <see cref="Write"/> and then <see cref="Flush"/>; <see cref="DurableLog.Completed"/> takes it back. One batch is out at a time.
/// </summary>
internal sealed class LogBatch
{
    /// <summary>The write sequence that its completion names (L7).</summary>
    public long Sequence { get; }

    /// <summary>Log-writer thread: encodes and writes. Throws <see cref="IOException"/>; hand it to Completed.</summary>
    public void Write() => throw new NotImplementedException();

    /// <summary>Log-writer thread: fdatasync, and the synced end after it. Throws <see cref="IOException"/>; hand it to Completed.</summary>
    public void Flush() => throw new NotImplementedException();
}
