using Google.Protobuf;
using Grpc.Core;
using Loom.Server.Etcd.Protos;

namespace Loom.Server.Cli;

/// <summary>
/// The bytes of a member's Maintenance.Snapshot, as a stream that asks for it when it is first read. Before that a linearizable read on the same member: then everything that was acknowledged
/// until now is in it. Without a quorum the backup is taken all the same, with a note: it may be the only one there will be.
/// </summary>
internal sealed class SnapshotSource(CommandSession session) : Stream
{
    private AsyncServerStreamingCall<SnapshotResponse>? call;
    private ReadOnlyMemory<byte> blob;

    public override bool CanRead => true;

    public override bool CanSeek => false;

    public override bool CanWrite => false;

    public override long Length => throw new NotSupportedException();

    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        if (call is null)
        {
            await ReachTheNewestAsync().ConfigureAwait(false);
            call = await session.Client.StreamAsync((invoker, options) => new Maintenance.MaintenanceClient(invoker).Snapshot(new SnapshotRequest(), options)).ConfigureAwait(false);
        }

        while (blob.IsEmpty)
        {
            if (await session.Client.NextAsync(call).ConfigureAwait(false) is not { } response)
            {
                return 0;
            }

            blob = response.Blob.Memory;
        }

        int count = Math.Min(blob.Length, buffer.Length);
        blob[..count].CopyTo(buffer);
        blob = blob[count..];
        return count;
    }

    public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) => ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    public override void Flush()
    {
    }

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            call?.Dispose();
        }

        base.Dispose(disposing);
    }

    private async Task ReachTheNewestAsync()
    {
        try
        {
            await session.Client.RangeAsync(new RangeRequest { Key = ByteString.CopyFrom(0), CountOnly = true }).ConfigureAwait(false);
        }
        catch (CommandException exception) when (exception.ExitCode == ExitCode.NoQuorum)
        {
            session.Note("note: no quorum; the backup holds what this member has applied, and may lack the newest writes");
        }
    }
}
