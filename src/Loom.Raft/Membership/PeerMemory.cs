using System.Buffers.Binary;
using Loom.Raft.Consensus;
using Loom.Raft.Log;
using Loom.Raft.Transport;

namespace Loom.Raft.Membership;

/// <summary>
/// What a member remembers of the others, so that one which has forgotten what it promised is told so (E1): how often each was started, and by which process last, and up to where its log is known to hold,
/// flushed, what is committed. A directory that was restored from an old copy says a lower number of starts, or has not had the process in its lineage that is remembered; one that lost the end of its log says a
/// last index below what it had acknowledged.
/// The starts are kept in the file DIRECTORY/peers; losing it only means to notice less.
/// <code>
/// u32 magic "LMPM" | u16 version = 1 | u16 count | u32 CRC-32C of all but itself | per peer: u64 id | u64 incarnation | u64 starts | u64 process
/// </code>
/// Not thread-safe.
/// </summary>
internal sealed class PeerMemory
{
    public const string FileName = "peers";
    private const uint Magic = 0x4D504D4C; // "LMPM"
    private const ushort Version = 1;
    private const int HeadBytes = 12;
    private const int RowBytes = 32;
    private const int MaxPeers = 64;

    private readonly SortedDictionary<MemberId, Remembered> peers = [];

    /// <summary>Why a formed peer must have forgotten something, in words, or null.</summary>
    public string? Judge(PeerHello theirs)
    {
        if (!peers.TryGetValue(theirs.From, out Remembered? known) || known.Incarnation != theirs.Incarnation) return null;
#if LOOM_MUTATIONS
        if (Diagnostics.Mutations.On("E1-shortened-log-votes")) return null;
#endif
        if (theirs.Starts < known.Starts || (theirs.Starts == known.Starts && theirs.Process != known.Process))
            return $"its data directory says that it was started {theirs.Starts} times, and it has been started {known.Starts} times: it is an old copy";
        if (IsOfAnotherLine(theirs, known))
            return $"its data directory was started {theirs.Starts} times, but start {known.Starts} was not the one that was met here: it is an old copy";
        if (known.Acknowledged == long.MaxValue) return "it refused entries that it had acknowledged before: its log is an old copy, or has lost its end";
        // Only at its start: what a running process says of its log may be older than what it has acknowledged since.
        return theirs.Process != known.Process && theirs.LastIndex < known.Acknowledged
            ? $"its log ends at entry {theirs.LastIndex}, and it had acknowledged entry {known.Acknowledged}: it is an old copy, or has lost its end"
            : null;
    }

    /// <summary>An old copy that was started often enough is ahead of what is remembered, but the start that is remembered was never its own. What lies too far back for the lineage is judged by its number alone.</summary>
    private static bool IsOfAnotherLine(PeerHello theirs, Remembered known)
    {
#if LOOM_MUTATIONS
        if (Diagnostics.Mutations.On("E1-lineage-ignored")) return false;
#endif
        return new StartCount(theirs.Starts, theirs.Earlier).ProcessOf(known.Starts) is { } process && process != known.Process;
    }

    /// <summary>A formed peer was let in. True if that is news to be written down.</summary>
    public bool Learn(PeerHello theirs)
    {
        bool same = peers.TryGetValue(theirs.From, out Remembered? known) && known.Incarnation == theirs.Incarnation;
        if (same && known!.Starts == theirs.Starts && known.Process == theirs.Process) return false;
        if (!same && peers.Count >= MaxPeers) _ = peers.Remove(peers.Keys.First());
        peers[theirs.From] = new Remembered(theirs.Incarnation, theirs.Starts, theirs.Process) { Acknowledged = same ? known!.Acknowledged : 0 };
        return true;
    }

    /// <summary>The peer holds this entry, flushed, and it is committed: no change of leader takes it away again. True if that is news.</summary>
    public bool Acknowledged(MemberId peer, long index)
    {
        if (!peers.TryGetValue(peer, out Remembered? known) || known.Acknowledged >= index) return false;
        known.Acknowledged = index;
        return true;
    }

    /// <summary>The peer was caught: whatever its next hello says, it has forgotten something. True if that is news.</summary>
    public bool Forgot(MemberId peer) => Acknowledged(peer, long.MaxValue);

    public byte[] Encode()
    {
        byte[] bytes = new byte[HeadBytes + peers.Count * RowBytes];
        BinaryPrimitives.WriteUInt32LittleEndian(bytes, Magic);
        BinaryPrimitives.WriteUInt16LittleEndian(bytes.AsSpan(4), Version);
        BinaryPrimitives.WriteUInt16LittleEndian(bytes.AsSpan(6), (ushort)peers.Count);
        Span<byte> at = bytes.AsSpan(HeadBytes);
        foreach ((MemberId id, Remembered known) in peers)
        {
            BinaryPrimitives.WriteUInt64LittleEndian(at, id.Value);
            BinaryPrimitives.WriteUInt64LittleEndian(at[8..], known.Incarnation);
            BinaryPrimitives.WriteUInt64LittleEndian(at[16..], known.Starts);
            BinaryPrimitives.WriteUInt64LittleEndian(at[24..], known.Process);
            at = at[RowBytes..];
        }
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(8), SmallFile.Checksum(bytes));
        return bytes;
    }

    /// <summary>What the file says; a missing, damaged or foreign one says nothing, and <paramref name="trouble"/> says why.</summary>
    public static PeerMemory Read(IFileSystem files, string directory, out string? trouble)
    {
        var memory = new PeerMemory();
        string path = $"{directory}/{FileName}";
        trouble = null;
        if (!files.FileExists(path)) return memory;
        using IFile file = files.Open(path, create: false);
        byte[] bytes = new byte[(int)Math.Min(file.Length, HeadBytes + MaxPeers * RowBytes + 1)];
        ReadOnlySpan<byte> read = bytes.AsSpan(0, file.Read(0, bytes));
        int count = read.Length < HeadBytes ? -1 : BinaryPrimitives.ReadUInt16LittleEndian(read[6..]);
        if (count is < 0 or > MaxPeers || read.Length != HeadBytes + count * RowBytes || BinaryPrimitives.ReadUInt32LittleEndian(read) != Magic
            || BinaryPrimitives.ReadUInt32LittleEndian(read[8..]) != SmallFile.Checksum(read) || BinaryPrimitives.ReadUInt16LittleEndian(read[4..]) != Version)
        {
            trouble = $"{path} is damaged or of another version; how often the other members were started is learned anew";
            return memory;
        }
        for (ReadOnlySpan<byte> at = read[HeadBytes..]; at.Length > 0; at = at[RowBytes..])
        {
            memory.peers[new MemberId(BinaryPrimitives.ReadUInt64LittleEndian(at))] = new Remembered(
                BinaryPrimitives.ReadUInt64LittleEndian(at[8..]), BinaryPrimitives.ReadUInt64LittleEndian(at[16..]), BinaryPrimitives.ReadUInt64LittleEndian(at[24..]));
        }
        return memory;
    }

    private sealed record Remembered(ulong Incarnation, ulong Starts, ulong Process)
    {
        public long Acknowledged { get; set; }
    }
}
