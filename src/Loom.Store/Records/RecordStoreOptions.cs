namespace Loom.Store.Records;

/// <summary>Sizes of the record store. All are powers of two, in bytes.</summary>
internal sealed class RecordStoreOptions
{
    /// <summary>FASTER's hash index. 16 bytes per live revision are comfortable: 32 MiB carry two million. Touched as keys come.</summary>
    public long IndexBytes { get; set; } = 32L << 20;

    /// <summary>The newest records stay in this much memory; older ones are read from the disk (or the page cache). Pages are allocated when first used and never returned.</summary>
    public long MemoryBytes { get; set; } = 64L << 20;

    /// <summary>Unit of flushing. A record must fit into a page, so it stays above the limit of a request by far.</summary>
    public long PageBytes { get; set; } = 4L << 20;

    /// <summary>How long FASTER may take to begin a checkpoint: it waits for nothing but threads that are inside of it for microseconds (N3). In milliseconds.</summary>
    public int FenceMilliseconds { get; set; } = 10_000;

    /// <summary>Size of a file. Space is given back in whole files; there are as many as this goes into the data.</summary>
    public long SegmentBytes { get; set; } = 16L << 20;

    /// <summary>Space that is taken ahead of what is needed: on a full disk it serves what makes space, deletes above all (S6).</summary>
    public long ReserveBytes { get; set; } = 16L << 20;

    /// <summary>For tests: throws in place of a full disk; the address up to which space is asked for.</summary>
    public Action<long>? BeforeAllocate { get; set; }
}
