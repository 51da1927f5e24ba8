using System.Buffers.Binary;
using System.Security.Cryptography;
using Loom.Raft;
using Loom.Raft.Diagnostics;
using Loom.Raft.Replica;

namespace Loom.Store.Snapshots;

/// <summary>
/// Reads an archive from begin to end and checks everything in it: checksum and number of every frame, what the end says, the padding, the digest of the whole, and that nothing follows.
/// Holds one frame at a time. What the chunks hold is their reader's to check (<see cref="StateIntake"/>).
/// </summary>
internal sealed class BackupReader : IDisposable
{
    private readonly Stream source;
    private readonly IncrementalHash digest = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
    private readonly byte[] head = new byte[BackupArchive.FrameHeaderBytes];
    private byte[] body = new byte[128 * 1024];
    private long number;
    private long chunks;
    private long stateBytes;

    /// <summary>Reads what the archive says of itself. The source stays the caller's.</summary>
    /// <exception cref="RaftException">CannotOpen: of a newer version. Corruption: it is no archive, or damaged.</exception>
    public BackupReader(Stream source)
    {
        this.source = source;
        Fill(head.AsSpan(0, BackupArchive.PreambleBytes));
        BackupArchive.ReadPreamble(head);
        (BackupFrameKind kind, _, int length) = ReadHead(RaftSnapshotDescription.MaxManifestBytes);
        if (kind != BackupFrameKind.Manifest)
        {
            throw BackupArchive.Damaged(BackupArchive.PreambleBytes, "it does not say what it holds");
        }

        Description = RaftSnapshotDescription.Decode(body.AsSpan(0, length));
        Header = StateHeader.Decode(Description.Header.Span);
    }

    public RaftSnapshotDescription Description { get; }

    public StateHeader Header { get; }

    /// <summary>Bytes read so far.</summary>
    public long Position { get; private set; }

    /// <summary>The digest, once <see cref="Next"/> has returned null.</summary>
    public byte[] Digest { get; private set; } = [];

    /// <summary>The next chunk; its memory is used again by the next call. Null: the end, and the archive is whole.</summary>
    /// <exception cref="RaftException">Corruption: it is damaged.</exception>
    public StateChunk? Next()
    {
        (BackupFrameKind kind, int cursor, int length) = ReadHead(BackupArchive.MaxChunkBytes);
        switch (kind)
        {
            case BackupFrameKind.Chunk:
                chunks++;
                stateBytes += length;
                return new StateChunk(body.AsMemory(0, cursor), body.AsMemory(cursor, length));
            case BackupFrameKind.End:
                End(length);
                return null;
            default:
                throw BackupArchive.Damaged(Position, $"a frame of kind {(byte)kind} stands where a chunk belongs");
        }
    }

    public void Dispose() => digest.Dispose();

    /// <summary>Reads a frame; its cursor and body are in the buffer.</summary>
    private (BackupFrameKind Kind, int Cursor, int Length) ReadHead(int limit)
    {
        long offset = Position;
        Fill(head);
        int cursor = BinaryPrimitives.ReadInt32LittleEndian(head.AsSpan(16)), length = BinaryPrimitives.ReadInt32LittleEndian(head.AsSpan(20));

        // Before the checksum: never allocate for a length that no archive has.
        if ((uint)cursor > BackupArchive.MaxCursorBytes || (uint)length > (uint)limit)
        {
            throw BackupArchive.Damaged(offset, "there is no frame");
        }

        if (body.Length < cursor + length)
        {
            body = new byte[cursor + length];
        }

        Fill(body.AsSpan(0, cursor + length));
        uint checksum = Crc32C.Continue(Crc32C.Continue(0, head.AsSpan(4)), body.AsSpan(0, cursor + length));
        if (checksum != BinaryPrimitives.ReadUInt32LittleEndian(head))
        {
            throw BackupArchive.Damaged(offset, "the checksum of a frame does not match");
        }

        if (BinaryPrimitives.ReadInt64LittleEndian(head.AsSpan(8)) != ++number)
        {
            throw BackupArchive.Damaged(offset, $"a frame is missing or was moved: there is frame {BinaryPrimitives.ReadInt64LittleEndian(head.AsSpan(8))} in the place of frame {number}");
        }

        return ((BackupFrameKind)head[4], cursor, length);
    }

    private void End(int length)
    {
        if (length != BackupArchive.EndBytes || BinaryPrimitives.ReadInt64LittleEndian(body) != chunks || BinaryPrimitives.ReadInt64LittleEndian(body.AsSpan(8)) != stateBytes)
        {
            throw BackupArchive.Damaged(Position, $"it ends after {chunks} chunks of {stateBytes} bytes, which is not what it says");
        }

        int padding = (int)(-Position & (BackupArchive.Alignment - 1));
        Fill(body.AsSpan(0, padding));
        if (body.AsSpan(0, padding).ContainsAnyExcept((byte)0))
        {
            throw BackupArchive.Damaged(Position - padding, "what fills it up is not empty");
        }

        byte[] computed = digest.GetHashAndReset();
        Fill(body.AsSpan(0, BackupArchive.DigestBytes));
        if (!computed.AsSpan().SequenceEqual(body.AsSpan(0, BackupArchive.DigestBytes)))
        {
            throw BackupArchive.Damaged(Position - BackupArchive.DigestBytes, "the hash of the whole does not match");
        }

        if (source.ReadAtLeast(body.AsSpan(0, 1), 1, throwOnEndOfStream: false) != 0)
        {
            throw BackupArchive.Damaged(Position, "something follows its end");
        }

        Digest = computed;
    }

    private void Fill(Span<byte> bytes)
    {
        int got = source.ReadAtLeast(bytes, bytes.Length, throwOnEndOfStream: false);
        Position += got;
        if (got < bytes.Length)
        {
            throw BackupArchive.Damaged(Position, "it ends too early");
        }

        digest.AppendData(bytes);
    }
}
