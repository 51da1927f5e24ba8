namespace Loom.Raft.Log;

/// <summary>Sizes of a <see cref="DurableLog"/>. The defaults are the product's; the simulator takes small ones to meet every boundary often.</summary>
internal sealed record DurableLogOptions
{
    /// <summary>Size of a segment file in bytes; a multiple of 4 KiB. A batch that does not fit into one gets a segment of its own size.</summary>
    public int SegmentBytes { get; init; } = 16 * 1024 * 1024;

    /// <summary>How far ahead of the writer a segment is filled with zeros: overwriting written space flushes 1.3 to 1.6 times as fast as appending.</summary>
    public int ZeroFillBytes { get; init; } = 1024 * 1024;

    /// <summary>Bytes of entries at which a batch is full and the next one begins. One larger entry still goes, alone.</summary>
    public int BatchBytes { get; init; } = 512 * 1024;

    /// <summary>Bytes of entries kept in memory once they are durable and applied; older ones are read back from the segments.</summary>
    public long TailBytes { get; init; } = 16 * 1024 * 1024;

    /// <summary>Bytes of entries kept in memory though they are not yet applied; beyond it those that are durable are read back, too.</summary>
    public long UnappliedTailBytes { get; init; } = 96 * 1024 * 1024;

    /// <summary>At most one place is kept per this many bytes of a segment; a read scans from the nearest one.</summary>
    public int IndexStrideBytes { get; init; } = 64 * 1024;

    /// <summary>
    /// Segments that wait to be written, with their space taken: the log's reserve on a full disk (S6). So many are kept at all times; a freed one beyond them is deleted.
    /// </summary>
    public int SpareSegments { get; init; } = 2;
}
