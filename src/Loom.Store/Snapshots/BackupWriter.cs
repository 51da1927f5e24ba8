using System.Buffers.Binary;
using System.Security.Cryptography;
using Loom.Raft;
using Loom.Raft.Replica;

namespace Loom.Store.Snapshots;

/// <summary>Turns a captured state into the pieces of an archive, one after the other, holding one at a time. Blocks on the disk; one thread at a time.</summary>
internal sealed class BackupWriter : IDisposable
{
    // As snapshots between members: a usual chunk's array is no large object.
    private const int ChunkBytes = 60 * 1024;

    private readonly RaftSnapshot snapshot;
    private readonly IncrementalHash digest = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
    private ReadOnlyMemory<byte> cursor;
    private long number;
    private long chunks;
    private long stateBytes;
    private long written;
    private Stage stage;

    public BackupWriter(RaftSnapshot snapshot)
    {
        this.snapshot = snapshot;
        long frames = 1 + (snapshot.State.EstimatedBytes / ChunkBytes);
        EstimatedBytes = snapshot.Manifest.Length + snapshot.State.EstimatedBytes + (frames * 256) + BackupArchive.Alignment + BackupArchive.DigestBytes;
    }

    private enum Stage
    {
        Manifest,
        Chunks,
        Digest,
        Done,
    }

    /// <summary>Roughly how long the archive will be.</summary>
    public long EstimatedBytes { get; }

    /// <summary>The next piece; empty: that was all.</summary>
    /// <exception cref="RaftException">The state cannot be read on (<see cref="IStateSnapshot.Read"/>).</exception>
    public ReadOnlyMemory<byte> Next()
    {
        switch (stage)
        {
            case Stage.Manifest:
                stage = Stage.Chunks;
                byte[] preamble = new byte[BackupArchive.PreambleBytes];
                BackupArchive.WritePreamble(preamble);
                return Count([.. preamble, .. BackupArchive.Frame(BackupFrameKind.Manifest, ++number, default, snapshot.Manifest.Span)]);
            case Stage.Chunks:
                return Count(snapshot.State.Read(cursor, ChunkBytes) is { } chunk ? Chunk(chunk) : End());
            case Stage.Digest:
                stage = Stage.Done;
                return digest.GetHashAndReset();
            default:
                return default;
        }
    }

    public void Dispose()
    {
        stage = Stage.Done;
        digest.Dispose();
        snapshot.Dispose();
    }

    private byte[] Chunk(StateChunk chunk)
    {
        cursor = chunk.Cursor;
        chunks++;
        stateBytes += chunk.Bytes.Length;
        return BackupArchive.Frame(BackupFrameKind.Chunk, ++number, chunk.Cursor.Span, chunk.Bytes.Span);
    }

    private byte[] End()
    {
        stage = Stage.Digest;
        Span<byte> counts = stackalloc byte[BackupArchive.EndBytes];
        BinaryPrimitives.WriteInt64LittleEndian(counts, chunks);
        BinaryPrimitives.WriteInt64LittleEndian(counts[8..], stateBytes);
        byte[] frame = BackupArchive.Frame(BackupFrameKind.End, ++number, default, counts);
        long rest = -(written + frame.Length) & (BackupArchive.Alignment - 1);
        return [.. frame, .. new byte[rest]];
    }

    private byte[] Count(byte[] piece)
    {
        digest.AppendData(piece);
        written += piece.Length;
        return piece;
    }
}
