using System.Buffers.Binary;
using Loom.Raft.Diagnostics;
using Loom.Raft.Replica;

namespace Loom.Raft.Tests.Snapshots;

/// <summary>A state of bytes: its cursor is an offset, its chunks carry a checksum of their own, as a machine's do.</summary>
internal sealed class ByteState(byte[] bytes, StatePosition at) : IStateSnapshot
{
    private long firstReads;
    private long bytesRead;

    /// <summary>Before each read, with its offset.</summary>
    public Action<long> OnRead { get; set; } = static _ => { };

    /// <summary>Where a byte is sent wrong; negative: nowhere.</summary>
    public long DamagedAt { get; set; } = -1;

    public bool Disposed { get; private set; }

    /// <summary>How often it was begun at its start.</summary>
    public long FirstReads => Interlocked.Read(ref firstReads);

    public long BytesRead => Interlocked.Read(ref bytesRead);

    public StatePosition At { get; } = at;

    public ReadOnlyMemory<byte> Header { get; } = new byte[] { 1, 2, 3 };

    public long EstimatedBytes => bytes.Length;

    public StateChunk? Read(ReadOnlyMemory<byte> after, int maxBytes)
    {
        ObjectDisposedException.ThrowIf(Disposed, this);
        long from = after.IsEmpty ? 0 : BinaryPrimitives.ReadInt64LittleEndian(after.Span);
        OnRead(from);
        if (from == 0) _ = Interlocked.Increment(ref firstReads);
        if (from == bytes.Length) return null;
        int length = (int)Math.Min(maxBytes - 4 - from % 977, bytes.Length - from);
        var chunk = new byte[4 + length];
        bytes.AsSpan((int)from, length).CopyTo(chunk.AsSpan(4));
        BinaryPrimitives.WriteUInt32LittleEndian(chunk, ~Crc32C.Append(Crc32C.Start, chunk.AsSpan(4)));
        if (DamagedAt >= from && DamagedAt < from + length) chunk[4 + DamagedAt - from] ^= 1;
        _ = Interlocked.Add(ref bytesRead, length);
        var cursor = new byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(cursor, from + length);
        return new StateChunk(cursor, chunk);
    }

    public void Dispose() => Disposed = true;
}

/// <summary>Collects a <see cref="ByteState"/>.</summary>
internal sealed class ByteInstallation(StatePosition at) : IStateInstallation
{
    private readonly MemoryStream taken = new();

    /// <summary>Before each write, with the bytes that are there.</summary>
    public Action<long> OnWrite { get; set; } = static _ => { };

    public bool Completed { get; private set; }

    public bool Disposed { get; private set; }

    public byte[] Bytes => taken.ToArray();

    public long Length => taken.Length;

    public StatePosition At { get; } = at;

    public void Write(StateChunk chunk)
    {
        ObjectDisposedException.ThrowIf(Disposed, this);
        OnWrite(taken.Length);
        ReadOnlySpan<byte> bytes = chunk.Bytes.Span;
        if (BinaryPrimitives.ReadUInt32LittleEndian(bytes) != ~Crc32C.Append(Crc32C.Start, bytes[4..])) throw new RaftException(RaftErrorCode.Corruption, "a record is damaged");
        taken.Write(bytes[4..]);
    }

    public void Complete() => Completed = true;

    public void Dispose() => Disposed = true;
}
