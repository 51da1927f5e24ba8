using Loom.Raft;
using Loom.Store.Model;
using Loom.Store.Snapshots;

namespace Loom.Store;

/// <summary>
/// A backup of a replica, to be read once from begin to end: an archive (docs/data-files.md) of the state at <see cref="Revision"/>. It is made while it is read, one chunk in memory at a time,
/// and the replica goes on meanwhile. It keeps history that compaction would free, for ten minutes at most, and one of two places: dispose of it soon. What was read of one that was not read to its end is no backup.
/// </summary>
public sealed class LoomBackupStream : Stream
{
    private readonly BackupWriter writer;
    private ReadOnlyMemory<byte> piece;
    private long position;

    internal LoomBackupStream(RaftSnapshot snapshot)
    {
        Revision = new Revision(StateHeader.Decode(snapshot.State.Header.Span).State.Revision);
        writer = new BackupWriter(snapshot);
    }

    /// <summary>The revision of the state.</summary>
    public Revision Revision { get; }

    /// <summary>Roughly how long the archive will be, in bytes.</summary>
    public long EstimatedBytes => writer.EstimatedBytes;

    /// <inheritdoc/>
    public override bool CanRead => true;

    /// <inheritdoc/>
    public override bool CanSeek => false;

    /// <inheritdoc/>
    public override bool CanWrite => false;

    /// <inheritdoc/>
    public override long Length => throw new NotSupportedException();

    /// <inheritdoc/>
    public override long Position
    {
        get => position;
        set => throw new NotSupportedException();
    }

    /// <inheritdoc/>
    public override int Read(byte[] buffer, int offset, int count) => Read(buffer.AsSpan(offset, count));

    /// <inheritdoc/>
    /// <exception cref="LoomException">The state cannot be read on: it was captured too long ago, the member closes, or a record is damaged.</exception>
    public override int Read(Span<byte> buffer)
    {
        Advance();
        return Take(buffer);
    }

    /// <inheritdoc/>
    public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) => ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    /// <inheritdoc/>
    /// <remarks>Reading the records may wait for a disk: that happens on the thread pool, not on the caller's thread.</remarks>
    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        if (piece.IsEmpty)
        {
            await Task.Run(Advance, cancellationToken).ConfigureAwait(false);
        }

        return Take(buffer.Span);
    }

    /// <inheritdoc/>
    public override void Flush()
    {
    }

    /// <inheritdoc/>
    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    /// <inheritdoc/>
    public override void SetLength(long value) => throw new NotSupportedException();

    /// <inheritdoc/>
    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            piece = default;
            writer.Dispose();
        }

        base.Dispose(disposing);
    }

    private void Advance()
    {
        if (!piece.IsEmpty)
        {
            return;
        }

        try
        {
            piece = writer.Next();
        }
        catch (RaftException fault)
        {
            throw Faults.Translate(fault, isWrite: false, CancellationToken.None);
        }
    }

    private int Take(Span<byte> buffer)
    {
        int count = Math.Min(piece.Length, buffer.Length);
        piece.Span[..count].CopyTo(buffer);
        piece = piece[count..];
        position += count;
        return count;
    }
}
