using Loom.Raft.Consensus;
using Loom.Raft.Replica;

namespace Loom.Raft.Snapshots;

/// <summary>
/// A capture that one receiver is getting, or may come back for (S4). Sent by one thread at a time (<see cref="Sending"/>, guarded by its source); the positions that the receiver can
/// have reached are remembered, so that a resumption is checked against the bytes that were sent and not against its word.
/// </summary>
internal sealed class OutboundSnapshot(MemberId receiver, long since)
{
    // What may lie between sender and receiver when a connection breaks: 10 MiB of usual socket buffers are 170 chunks. The bytes bound long cursors.
    private const int MaxPositions = 4096;
    private const int MaxCursorBytes = 4 * 1024 * 1024;

    private readonly LinkedList<TransferPosition> trail = new();
    private long cursorBytes;

    public MemberId Receiver { get; } = receiver;

    /// <summary>When it was asked for: its age is bounded, because compaction waits for it (S4).</summary>
    public long Since { get; } = since;

    /// <summary>Null until the replica has answered.</summary>
    public CapturedSnapshot? Captured { get; set; }

    /// <summary>A thread sends it, or waits for its capture.</summary>
    public bool Sending { get; set; } = true;

    /// <summary>Since when nobody sends it.</summary>
    public long IdleSince { get; set; }

    /// <summary>Up to where it was sent.</summary>
    public TransferPosition Position { get; private set; } = TransferPosition.Start;

    /// <summary>One more chunk goes out.</summary>
    public void Advance(StateChunk chunk)
    {
        Position = Position.After(chunk);
        trail.AddLast(Position);
        cursorBytes += Position.Cursor.Length;
        while (trail.Count > MaxPositions || (cursorBytes > MaxCursorBytes && trail.Count > 1)) Forget(trail.First!);
    }

    /// <summary>Goes back to where the receiver stands. False: it was never there, or too long ago.</summary>
    public bool ReturnTo(TransferPosition position)
    {
        if (position.IsSame(TransferPosition.Start))
        {
            trail.Clear();
            cursorBytes = 0;
            Position = TransferPosition.Start;
            return true;
        }
        LinkedListNode<TransferPosition>? node = trail.Last;
        while (node is not null && node.Value.Chunks > position.Chunks) node = node.Previous;
        if (node is null || !node.Value.IsSame(position)) return false;
        while (trail.Last != node) Forget(trail.Last!);
        Position = node.Value;
        return true;
    }

    private void Forget(LinkedListNode<TransferPosition> node)
    {
        cursorBytes -= node.Value.Cursor.Length;
        trail.Remove(node);
    }
}
