namespace Loom.Raft.Consensus;

/// <summary>Appends sent to one peer and not answered: a ring of (last index, bytes), bounded by count and bytes (P5).</summary>
internal sealed class Inflights(int maxMessages, long maxBytes)
{
    private readonly (long Index, long Bytes)[] ring = new (long, long)[maxMessages];
    private int start;
    private int count;
    private long bytes;

    public int Count => count;

    public bool IsFull => count == ring.Length || bytes >= maxBytes;

    public void Add(long lastIndex, long size)
    {
        if (IsFull)
        {
            throw new InvalidOperationException("an append was sent beyond the window");
        }

        ring[(start + count) % ring.Length] = (lastIndex, size);
        count++;
        bytes += size;
    }

    /// <summary>Everything up to this index was answered.</summary>
    public void FreeTo(long index)
    {
        while (count > 0 && ring[start].Index <= index)
        {
            bytes -= ring[start].Bytes;
            start = (start + 1) % ring.Length;
            count--;
        }
    }

    public void Clear()
    {
        count = 0;
        bytes = 0;
    }
}
