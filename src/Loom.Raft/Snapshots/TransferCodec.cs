using System.Buffers.Binary;
using Loom.Raft.Replica;
using Loom.Raft.Transport;

namespace Loom.Raft.Snapshots;

/// <summary>
/// Bodies of the bulk lane's frames (docs/data-files.md):
/// <code>
///  SnapshotRequest  version u8 = 1 │ min index i64 │ resume u64 │ chunks i64 │ bytes i64 │ hash u128 │ cursor (u32 length, bytes)
///  SnapshotRefusal  reason u8 │ bytes i64 │ text (u32 length, UTF-8)
///  SnapshotOffer    estimated bytes i64 │ manifest (u32 length, SnapshotManifestCodec; empty: resumed)
///  SnapshotChunk    number i64, from 1 │ cursor (u32 length, bytes) │ bytes of state to the end
///  SnapshotEnd      chunks i64 │ bytes i64 │ hash u128
///  SnapshotDone     nothing
/// </code>
/// The frames carry version and checksum. Lengths are checked against what is there before anything is copied.
/// </summary>
internal static class TransferCodec
{
    private const byte Version = 1;

    public static void Encode(WireWriter writer, SnapshotRequest request)
    {
        writer.Byte(Version);
        writer.Int64(request.MinIndex);
        writer.UInt64(request.Resume);
        writer.Int64(request.Position.Chunks);
        writer.Int64(request.Position.Bytes);
        BinaryPrimitives.WriteUInt128LittleEndian(writer.Reserve(16), request.Position.Hash);
        writer.Blob(request.Position.Cursor.Span);
    }

    /// <exception cref="WireException">Not a request.</exception>
    public static SnapshotRequest DecodeRequest(ReadOnlySpan<byte> body)
    {
        var reader = new WireReader(body);
        byte version = reader.Byte();
        if (version != Version) throw new WireException($"a snapshot request of version {version}, this member speaks {Version}; run the same version of Loom on all members");
        long minIndex = NotNegative(reader.Int64());
        ulong resume = reader.UInt64();
        long chunks = NotNegative(reader.Int64());
        long bytes = NotNegative(reader.Int64());
        UInt128 hash = BinaryPrimitives.ReadUInt128LittleEndian(reader.Take(16));
        byte[] cursor = reader.Blob().ToArray();
        reader.End();
        return new SnapshotRequest(minIndex, resume, new TransferPosition(chunks, bytes, hash, cursor));
    }

    public static void Encode(WireWriter writer, SnapshotRefusal refusal)
    {
        writer.Byte((byte)refusal.Reason);
        writer.Int64(refusal.Bytes);
        writer.Text(refusal.Text.Length <= 1000 ? refusal.Text : refusal.Text[..1000]);
    }

    /// <exception cref="WireException">Not a refusal.</exception>
    public static SnapshotRefusal DecodeRefusal(ReadOnlySpan<byte> body)
    {
        var reader = new WireReader(body);
        var reason = (RefusalReason)reader.Byte();
        if (reason is < RefusalReason.Busy or > RefusalReason.Closing) throw new WireException($"unknown refusal {(byte)reason}");
        long bytes = NotNegative(reader.Int64());
        string text = reader.Text();
        reader.End();
        return new SnapshotRefusal(reason, bytes, text);
    }

    public static void Encode(WireWriter writer, SnapshotOffer offer)
    {
        writer.Int64(offer.EstimatedBytes);
        writer.Blob(offer.Manifest.Span);
    }

    /// <exception cref="WireException">Not an offer.</exception>
    public static SnapshotOffer DecodeOffer(ReadOnlySpan<byte> body)
    {
        var reader = new WireReader(body);
        long estimated = NotNegative(reader.Int64());
        byte[] manifest = reader.Blob().ToArray();
        reader.End();
        return new SnapshotOffer(estimated, manifest);
    }

    public static void Encode(WireWriter writer, long number, StateChunk chunk)
    {
        writer.Int64(number);
        writer.Blob(chunk.Cursor.Span);
        writer.Bytes(chunk.Bytes.Span);
    }

    /// <summary>The number of the chunk, and its parts where they lie in <paramref name="body"/>: nothing is copied.</summary>
    /// <exception cref="WireException">Not a chunk.</exception>
    public static (long Number, StateChunk Chunk) DecodeChunk(ReadOnlyMemory<byte> body)
    {
        var reader = new WireReader(body.Span);
        long number = NotNegative(reader.Int64());
        int cursor = reader.Blob().Length;
        ReadOnlyMemory<byte> rest = body[(8 + 4)..];
        return (number, new StateChunk(rest[..cursor], rest[cursor..]));
    }

    public static void Encode(WireWriter writer, SnapshotEnd end)
    {
        writer.Int64(end.Chunks);
        writer.Int64(end.Bytes);
        BinaryPrimitives.WriteUInt128LittleEndian(writer.Reserve(16), end.Hash);
    }

    /// <exception cref="WireException">Not an end.</exception>
    public static SnapshotEnd DecodeEnd(ReadOnlySpan<byte> body)
    {
        var reader = new WireReader(body);
        var end = new SnapshotEnd(NotNegative(reader.Int64()), NotNegative(reader.Int64()), BinaryPrimitives.ReadUInt128LittleEndian(reader.Take(16)));
        reader.End();
        return end;
    }

    private static long NotNegative(long value) => value >= 0 ? value : throw new WireException($"{value} where an index or a count belongs");
}
