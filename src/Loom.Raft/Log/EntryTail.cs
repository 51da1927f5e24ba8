using Loom.Raft.Consensus;

namespace Loom.Raft.Log;

/// <summary>The newest entries, in memory: a ring over consecutive indexes [First, First + Count). Holds at least every entry that is not flushed yet.</summary>
internal sealed class EntryTail(long first)
{
    /// <summary>What an entry costs beside its body.</summary>
    private const int EntryBytes = 64;

    private Entry[] ring = new Entry[256];
    private int head;

    public long First { get; private set; } = first;

    public int Count { get; private set; }

    public long Bytes { get; private set; }

    public long Next => First + Count;

    public ref readonly Entry this[long index] => ref ring[Slot(index)];

    public void Append(in Entry entry)
    {
        if (Count == ring.Length)
            Grow();
        ring[(head + Count) & (ring.Length - 1)] = entry;
        Count++;
        Bytes += entry.Body.Length + EntryBytes;
    }

    /// <summary>Forgets the entries from <paramref name="index"/> on; below First, the tail is empty and goes on there.</summary>
    public void CutFrom(long index)
    {
        while (Count > 0 && Next > index)
        {
            ref Entry last = ref ring[Slot(Next - 1)];
            Bytes -= last.Body.Length + EntryBytes;
            last = default;
            Count--;
        }

        if (index < First)
            First = index;
    }

    /// <summary>Forgets all; goes on at <paramref name="index"/>, which is beyond.</summary>
    public void RestartAt(long index)
    {
        while (Count > 0)
            DropFirst();
        First = index;
    }

    public void DropFirst()
    {
        ref Entry entry = ref ring[head];
        Bytes -= entry.Body.Length + EntryBytes;
        entry = default;
        head = (head + 1) & (ring.Length - 1);
        First++;
        Count--;
    }

    private int Slot(long index) => (head + (int)(index - First)) & (ring.Length - 1);

    private void Grow()
    {
        var larger = new Entry[ring.Length * 2];
        for (int i = 0; i < Count; i++)
            larger[i] = ring[(head + i) & (ring.Length - 1)];
        ring = larger;
        head = 0;
    }
}
