using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;

namespace Loom.Raft.Transport;

/// <summary>
/// The bytes of a lane: a blocking socket, with TLS on it where the URL says so. Blocking both ways (N1): SslStream's synchronous half does all its work on the calling thread. One thread at a time;
/// whoever wants to end a wait from another thread hangs the socket up.
/// </summary>
internal sealed class LaneWire : IDisposable
{
    private readonly SslStream? tls;
    private readonly SocketStream? inner;

    private LaneWire(Socket socket, SslStream? tls, SocketStream? inner)
    {
        Socket = socket;
        this.tls = tls;
        this.inner = inner;
    }

    /// <summary>Its owner's: not closed from here.</summary>
    public Socket Socket { get; }

    /// <summary>What the other side showed and was found good; null: nothing was asked for.</summary>
    public X509Certificate2? Certificate { get; private init; }

    public bool IsSecure => tls is not null;

    public static LaneWire Cleartext(Socket socket) => new(socket, null, null);

    public static LaneWire Secured(Socket socket, SslStream tls, SocketStream inner, X509Certificate2? certificate) => new(socket, tls, inner) { Certificate = certificate };

    /// <summary>The hellos are exchanged: from now on the socket's own limits count, and what is written may take this long (ns).</summary>
    public void EndHandshake(long sendLimit)
    {
        if (inner is not null) inner.Deadline = 0;
        Socket.SendTimeout = (int)(sendLimit / 1_000_000);
    }

    /// <summary>What there is; 0: the other side has ended.</summary>
    /// <exception cref="SocketException">Broken, or silent for longer than the socket's limit.</exception>
    /// <exception cref="IOException">TLS broke: the end without a farewell, or bytes that are not the peer's.</exception>
    public int Receive(Span<byte> buffer)
    {
        if (tls is null) return Socket.Receive(buffer);
        try
        {
            return tls.Read(buffer);
        }
        catch (Exception e) when (e is IOException or InvalidOperationException)
        {
            throw Translated(e);
        }
    }

    /// <summary>All of it.</summary>
    /// <exception cref="SocketException">Broken, or the peer took nothing for longer than the socket's limit.</exception>
    /// <exception cref="IOException">TLS broke.</exception>
    public void Send(ReadOnlySpan<byte> bytes)
    {
        if (tls is null)
        {
            while (bytes.Length > 0) bytes = bytes[Socket.Send(bytes)..];
            return;
        }
        try
        {
            tls.Write(bytes);
        }
        catch (Exception e) when (e is IOException or InvalidOperationException)
        {
            throw Translated(e);
        }
    }

    public void Dispose() => tls?.Dispose();

    /// <summary>The socket's own trouble under SslStream's coat, or the last of its words: it says "see inner exception".</summary>
    private static Exception Translated(Exception e)
    {
        Exception inner = e;
        while (inner is not SocketException && inner.InnerException is { } deeper) inner = deeper;
        return inner switch
        {
            SocketException socket => new SocketException(socket.ErrorCode),
            ObjectDisposedException => new SocketException((int)SocketError.OperationAborted),
            _ => new IOException($"TLS: {inner.Message}", e),
        };
    }
}
