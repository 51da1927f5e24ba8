using System.Buffers.Binary;
using Loom.Store.Mvcc;
using Microsoft.Win32.SafeHandles;

namespace Loom.Store.Records;

/// <summary>
/// Reads the record files from begin to end and checks everything in them that FASTER would believe: headers, lengths, checksums, and where the chains of its hash table lead.
/// FASTER checks nothing: a flipped bit in a length or a page makes it run out of its memory, which ends the process. So it is given a log only after this has passed.
/// </summary>
/// <remarks>
/// A record in the files, all multiples of 8 bytes:
/// <code>
/// offset 0  FASTER's word: previous record of the same hash chain (48 bits), flags
///        8  main i64
///        16 sub i32, zero i32
///        24 length i32 of what follows
///        28 crc32c u32 of the record, seeded with main and sub
///        32 record, filled up with zeros
/// </code>
/// Records do not cross pages: the rest of a page is zero.
/// </remarks>
internal sealed class RecordLogScan(string path, int pageBytes, int segmentBytes, LogExtent extent)
{
    private const int HeaderBytes = 28;
    private const ulong Previous = (1UL << 48) - 1;
    private const ulong Valid = 1UL << 56;
    private const ulong InNewVersion = 1UL << 61;

    // Dirty and modified are FASTER's own notes without meaning here; any other flag is none that a record of ours has.
    private const ulong Known = Previous | Valid | InNewVersion | (1UL << 59) | (1UL << 62);

    private readonly List<(long Address, uint Chain)> starts = [];
    private readonly List<int> linked = [];
    private readonly List<long> links = [];

    /// <exception cref="CheckpointDamagedException">The files are damaged; names the file and the place.</exception>
    public void Run(IRecordRebuild rebuild)
    {
        byte[] buffer = GC.AllocateUninitializedArray<byte>((int)Math.Min(pageBytes, extent.End - extent.Begin));
        for (long at = extent.Begin; at < extent.End;)
        {
            long pageEnd = Math.Min(extent.End, ((at / pageBytes) + 1) * pageBytes);
            Span<byte> page = buffer.AsSpan(0, (int)(pageEnd - at));
            Read(at, page);
            ScanPage(at, page, pageEnd == extent.End, rebuild);
            at = pageEnd;
        }

        CheckLinks();
    }

    private void ScanPage(long address, ReadOnlySpan<byte> page, bool isLast, IRecordRebuild rebuild)
    {
        int at = 0;
        while (at < page.Length)
        {
            ReadOnlySpan<byte> rest = page[at..];
            ulong word = rest.Length >= 8 ? BinaryPrimitives.ReadUInt64LittleEndian(rest) : throw Damaged(address + at, "a record does not fit");
            if (word == 0)
            {
                if (isLast || rest.ContainsAnyExcept((byte)0))
                {
                    throw Damaged(address + at, "there is a hole where records are");
                }

                return;
            }

            at += ScanRecord(address + at, word, rest, rebuild);
        }
    }

    private int ScanRecord(long address, ulong word, ReadOnlySpan<byte> bytes, IRecordRebuild rebuild)
    {
        int size = bytes.Length < HeaderBytes + RecordFunctions.ChecksumBytes ? -1 : BinaryPrimitives.ReadInt32LittleEndian(bytes[24..]);
        if ((word & ~Known) != 0 || size < RecordFunctions.ChecksumBytes || size > FasterRecordStore.MaxRecordBytes + RecordFunctions.ChecksumBytes)
        {
            throw Damaged(address, $"there is no record header (flags {word >> 48:x4}, {size} bytes)");
        }

        int length = (HeaderBytes + size + 7) & ~7;
        RecordKey key = new(BinaryPrimitives.ReadInt64LittleEndian(bytes[8..]), BinaryPrimitives.ReadInt32LittleEndian(bytes[16..]));
        if (length > bytes.Length || BinaryPrimitives.ReadInt32LittleEndian(bytes[20..]) != 0)
        {
            throw Damaged(address, $"the record {key.Main}.{key.Sub} of {size} bytes does not fit");
        }

        NoteChain(address, (long)(word & Previous), key);
        if (IsRecovered(address, word))
        {
            ReadOnlySpan<byte> record = bytes[(HeaderBytes + RecordFunctions.ChecksumBytes)..(HeaderBytes + size)];
            if (RecordChecksum.Of(key, record) != BinaryPrimitives.ReadUInt32LittleEndian(bytes[HeaderBytes..]))
            {
                throw Damaged(address, $"the checksum of the record {key.Main}.{key.Sub} does not match");
            }

            rebuild.Add(key, record);
        }

        return length;
    }

    /// <summary>FASTER takes back what was written behind the checkpoint's version; with the fence there is none of the applier's (H8).</summary>
    private bool IsRecovered(long address, ulong word) => (word & Valid) != 0 && (address < extent.Fuzzy || (word & InNewVersion) == 0);

    private void NoteChain(long address, long previous, RecordKey key)
    {
        StoredKey stored = new(key);
        ulong hash = (ulong)stored.GetHashCode64(ref stored);

        // What all keys of one chain have in common, whatever the size of the hash table: the tag and the lowest bits.
        starts.Add((address, (uint)((hash >> 50) << 8) | (uint)(hash & 0xFF)));
        if (previous >= extent.Begin)
        {
            linked.Add(starts.Count - 1);
            links.Add(previous);
        }
    }

    /// <summary>A chain leads back to a record of the same hash; anywhere else FASTER would take arbitrary bytes for a record.</summary>
    private void CheckLinks()
    {
        for (int i = 0; i < links.Count; i++)
        {
            (long address, uint chain) = starts[linked[i]];
            int found = starts.BinarySearch((links[i], 0), ByAddress.Instance);
            if (links[i] >= address || found < 0 || starts[found].Chain != chain)
            {
                throw Damaged(address, $"the record leads on to {links[i]}, where none of its chain is");
            }
        }
    }

    private void Read(long address, Span<byte> target)
    {
        string file = $"{path}.{address / segmentBytes}";
        try
        {
            using SafeFileHandle handle = File.OpenHandle(file);
            for (int got = 0; got < target.Length;)
            {
                int read = RandomAccess.Read(handle, target[got..], (address % segmentBytes) + got);
                got += read > 0 ? read : throw Damaged(address + got, "the file ends early");
            }
        }
        catch (IOException e) when (OpenObstacle.Of(e) is null)
        {
            throw new CheckpointDamagedException(file, address % segmentBytes, e.Message, e);
        }
    }

    private CheckpointDamagedException Damaged(long address, string what) => new($"{path}.{address / segmentBytes}", address % segmentBytes, what);

    private sealed class ByAddress : IComparer<(long Address, uint Chain)>
    {
        public static readonly ByAddress Instance = new();

        public int Compare((long Address, uint Chain) x, (long Address, uint Chain) y) => x.Address.CompareTo(y.Address);
    }
}

/// <summary>Addresses of FASTER's log at a checkpoint.</summary>
/// <param name="Begin">The first byte in use.</param>
/// <param name="End">The byte after the last one.</param>
/// <param name="Fuzzy">From here on there may be records of the next version, which a recovery takes back.</param>
internal readonly record struct LogExtent(long Begin, long End, long Fuzzy)
{
    /// <exception cref="CheckpointDamagedException">That cannot be.</exception>
    public static LogExtent Of(string path, byte[] log)
    {
        try
        {
            var info = FasterCommits.Parse(log);
            LogExtent extent = new(info.beginAddress, info.finalLogicalAddress, info.startLogicalAddress);
            if (extent.Begin < 0 || extent.End < extent.Begin || extent.Fuzzy > extent.End || extent.Begin % 8 != 0 || extent.End % 8 != 0)
            {
                throw new FormatException($"{extent}");
            }

            return extent;
        }
        catch (Exception e) when (e is FormatException or OverflowException or ArgumentException or FASTER.core.FasterException)
        {
            throw new CheckpointDamagedException(path, 64, $"FASTER's description of its log cannot be read ({e.Message})", e);
        }
    }
}
