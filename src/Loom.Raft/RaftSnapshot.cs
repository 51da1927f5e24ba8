using Loom.Raft.Consensus;
using Loom.Raft.Replica;

namespace Loom.Raft;

/// <summary>
/// A consistent state of this member, captured between two applied entries, to be read while the member goes on: what a backup is made of. One thread at a time.
/// It keeps history that compaction would free, for ten minutes at most: dispose of it soon.
/// </summary>
public sealed class RaftSnapshot : IDisposable
{
    private readonly Action? release;
    private int disposed;

    /// <summary>Creates it.</summary>
    /// <param name="clusterId">Of which cluster.</param>
    /// <param name="source">The member that captured it.</param>
    /// <param name="manifest">Encoded manifest.</param>
    /// <param name="state">The state; disposed of with this object.</param>
    /// <param name="release">Called once, when it is disposed of.</param>
    public RaftSnapshot(ulong clusterId, MemberId source, ReadOnlyMemory<byte> manifest, IStateSnapshot state, Action? release = null)
    {
        ClusterId = clusterId;
        Source = source;
        Manifest = manifest;
        State = state;
        this.release = release;
    }

    /// <summary>Of which cluster.</summary>
    public ulong ClusterId { get; }

    /// <summary>The member that captured it.</summary>
    public MemberId Source { get; }

    /// <summary>What the snapshot says of itself: ids, position, configuration, sessions, the application's header; with magic, version and checksum (docs/data-files.md).</summary>
    public ReadOnlyMemory<byte> Manifest { get; }

    /// <summary>The state, chunk by chunk.</summary>
    public IStateSnapshot State { get; }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref disposed, 1) != 0) return;
        State.Dispose();
        release?.Invoke();
    }
}
