using System.Net.Sockets;

namespace Loom.Raft.Transport;

/// <summary>
/// A socket as a stream for SslStream, with a deadline for a whole handshake: a socket's own limit is for one receive, so one byte a second would keep a handshake alive. Synchronous only.
/// </summary>
internal sealed class SocketStream(Socket socket, Func<long> now) : Stream
{
    /// <summary>Monotonic ns; 0: the socket's own limits count.</summary>
    public long Deadline { get; set; }

    /// <summary>The first byte that came: tells TLS from cleartext. -1: none yet.</summary>
    public int FirstByte { get; private set; } = -1;

    public override bool CanRead => true;

    public override bool CanWrite => true;

    public override bool CanSeek => false;

    public override long Length => throw new NotSupportedException();

    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    public override int Read(Span<byte> buffer)
    {
        if (Deadline != 0) socket.ReceiveTimeout = Left();
        int read = socket.Receive(buffer);
        if (FirstByte < 0 && read > 0) FirstByte = buffer[0];
        return read;
    }

    public override void Write(ReadOnlySpan<byte> buffer)
    {
        if (Deadline != 0) socket.SendTimeout = Left();
        while (buffer.Length > 0) buffer = buffer[socket.Send(buffer)..];
    }

    public override int Read(byte[] buffer, int offset, int count) => Read(buffer.AsSpan(offset, count));

    public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));

    public override void Flush()
    {
    }

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    private int Left()
    {
        long left = Deadline - now();
        return left > 0 ? (int)Math.Max(1, left / 1_000_000) : throw new WireException("the TLS handshake took too long");
    }
}
