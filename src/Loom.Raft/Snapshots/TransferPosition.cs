using System.Buffers.Binary;
using System.IO.Hashing;
using Loom.Raft.Replica;

namespace Loom.Raft.Snapshots;

/// <summary>
/// How far a transfer has come, on either side: both fold every chunk into the same hash, so that two equal positions mean equal bytes up to there, and a transfer
/// that is resumed, or ends, is checked as a whole and not only piece by piece (S4).
/// </summary>
/// <param name="Chunks">How many.</param>
/// <param name="Bytes">How many bytes of state are in them.</param>
/// <param name="Hash">H(hash before, cursor, bytes) of the last one.</param>
/// <param name="Cursor">Where the last one ends; empty: before the first.</param>
internal sealed record TransferPosition(long Chunks, long Bytes, UInt128 Hash, ReadOnlyMemory<byte> Cursor)
{
    /// <summary>Before the first chunk.</summary>
    public static readonly TransferPosition Start = new(0, 0, 0, ReadOnlyMemory<byte>.Empty);

    /// <summary>The position behind one more chunk; keeps a copy of its cursor.</summary>
    public TransferPosition After(StateChunk chunk)
    {
        Span<byte> prefix = stackalloc byte[20];
        BinaryPrimitives.WriteUInt128LittleEndian(prefix, Hash);
        BinaryPrimitives.WriteInt32LittleEndian(prefix[16..], chunk.Cursor.Length);
        var hash = new XxHash128();
        hash.Append(prefix);
        hash.Append(chunk.Cursor.Span);
        hash.Append(chunk.Bytes.Span);
        return new TransferPosition(Chunks + 1, Bytes + chunk.Bytes.Length, hash.GetCurrentHashAsUInt128(), chunk.Cursor.ToArray());
    }

    /// <summary>The same place, reached by the same bytes.</summary>
    public bool IsSame(TransferPosition other) =>
        Chunks == other.Chunks && Bytes == other.Bytes && Hash == other.Hash && Cursor.Span.SequenceEqual(other.Cursor.Span);
}
