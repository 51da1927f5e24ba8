using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;

namespace Loom.Raft.Transport;

/// <summary>A TLS handshake failed for a reason that an operator can mend; the text says it.</summary>
internal sealed class PeerTlsException(string message) : IOException(message);

/// <summary>
/// TLS of the lanes (N1, N2): both ends show certificates, the handshake has one deadline and is made on the connection's own thread, and whose certificate it is must agree with whom the hello names.
/// A member that speaks cleartext to a TLS port, or the reverse, is told so in words.
/// </summary>
internal static class PeerTls
{
    private const byte HandshakeRecord = 0x16;
    private const byte AlertRecord = 0x15;

    /// <summary>A fatal alert, "protocol version": what a cleartext caller gets from a TLS port, and knows it by.</summary>
    private static ReadOnlySpan<byte> Alert => [AlertRecord, 3, 3, 0, 2, 2, 70];

    /// <summary>Accepting side. Cleartext: <paramref name="files"/> is null.</summary>
    /// <exception cref="PeerTlsException">The other side is set up wrongly.</exception>
    /// <exception cref="IOException">Anything else than a handshake came.</exception>
    /// <exception cref="SocketException">Broken, or silent.</exception>
    public static LaneWire Accept(Socket socket, TlsFiles? files, long deadline, Func<long> now)
    {
        int first = Peek(socket, deadline, now);
        if (files is null)
        {
            if (first != HandshakeRecord) return LaneWire.Cleartext(socket);
            // The magic of a hello: who speaks TLS to us finds it in place of an answer, and can say what it is.
            Farewell(socket, LaneHandshake.Magic, deadline, now);
            throw new PeerTlsException("it speaks TLS, and this port does not: its list of members has https:// where ours has http://");
        }
        if (first != HandshakeRecord)
        {
            Farewell(socket, Alert, deadline, now);
            if (first == LaneHandshake.Magic[0]) throw new PeerTlsException("it speaks cleartext, and this port speaks TLS: its list of members has http:// where ours has https://");
            throw new WireException("not a TLS handshake");
        }
        var check = new TlsCheck();
        return Shake(socket, deadline, now, check, tls => tls.AuthenticateAsServer(files.ForServer(check)));
    }

    /// <summary>Dialling side. Cleartext where the address says http.</summary>
    /// <exception cref="PeerTlsException">The other side is set up wrongly, or this one is.</exception>
    /// <exception cref="IOException">The handshake broke.</exception>
    /// <exception cref="SocketException">Broken, or silent.</exception>
    public static LaneWire Dial(Socket socket, PeerAddress address, TlsFiles? files, long deadline, Func<long> now)
    {
        if (!address.IsSecure) return LaneWire.Cleartext(socket);
        if (files is null) throw new PeerTlsException($"{address} asks for TLS, and this member has no certificate for members: give it one (--peer-cert-file, --peer-key-file), or write http://");
        var check = new TlsCheck();
        return Shake(socket, deadline, now, check, tls => tls.AuthenticateAsClient(files.ForClient(address.Host, check)));
    }

    /// <summary>N2: why the certificate does not belong to whom the hello names; null: it does, or none was asked for.</summary>
    /// <param name="wire">Behind its handshake.</param>
    /// <param name="name">What the caller calls itself.</param>
    /// <param name="urls">Where that member is reached.</param>
    public static string? Disagreement(LaneWire wire, string name, IReadOnlyList<string> urls)
    {
        if (wire.Certificate is not { } certificate) return null;
        return urls.Any(url => certificate.MatchesHostname(PeerAddress.Parse(url).Host)) ? null
            : $"the certificate of {name} ({certificate.Subject}) is not good for where that member is ({string.Join(", ", urls)}): give it one whose subject alternative names hold the host";
    }

    /// <summary>A frame whose first bytes are a TLS record: what a member that dials in cleartext gets from a TLS port.</summary>
    public static bool IsRecord(ReadOnlySpan<byte> bytes) => bytes is [AlertRecord or HandshakeRecord, 3, ..];

    /// <summary>The deadline stays in force until the hellos are exchanged (<see cref="LaneWire.EndHandshake"/>): a record of TLS, too, can be sent byte by byte.</summary>
    /// <exception cref="PeerTlsException">Whatever else fails in a handshake: a stranger's certificate can break the code that looks at it, and that must not be this member's end.</exception>
    internal static LaneWire Shake(Socket socket, long deadline, Func<long> now, TlsCheck check, Action<SslStream> authenticate)
    {
        var stream = new SocketStream(socket, now) { Deadline = deadline };
        var tls = new SslStream(stream);
        try
        {
            authenticate(tls);
            return LaneWire.Secured(socket, tls, stream, check.Certificate);
        }
        catch (Exception e)
        {
            tls.Dispose();
            if (e is SocketException or PeerTlsException or WireException or ObjectDisposedException) throw;
            if (check.Refusal is { } refusal) throw new PeerTlsException(refusal);
            if (stream.FirstByte == LaneHandshake.Magic[0]) throw new PeerTlsException("it speaks cleartext, and its URL here is https://: write http:// on every member, or give it --peer-cert-file and --peer-key-file and an https:// URL");
            Exception inner = e;
            while (inner.InnerException is { } deeper) inner = deeper;
            if (inner is SocketException or WireException) throw inner;
            throw new PeerTlsException(e is AuthenticationException or IOException ? $"the TLS handshake failed: {inner.Message}" : $"the TLS handshake failed with {inner.GetType().Name}: {inner.Message}");
        }
    }

    /// <summary>The last word to a caller, and then what he has sent is read: a socket that is closed with bytes unread resets the connection, and the word is lost.</summary>
    private static void Farewell(Socket socket, ReadOnlySpan<byte> word, long deadline, Func<long> now)
    {
        _ = socket.Send(word);
        socket.Shutdown(SocketShutdown.Send);
        Span<byte> unread = stackalloc byte[1024];
        while (now() < deadline && socket.Receive(unread) > 0)
        {
        }
    }

    /// <summary>The first byte, which stays where it is.</summary>
    private static int Peek(Socket socket, long deadline, Func<long> now)
    {
        long left = deadline - now();
        if (left <= 0) throw new WireException("the handshake took too long");
        socket.ReceiveTimeout = (int)Math.Max(1, left / 1_000_000);
        Span<byte> first = stackalloc byte[1];
        return socket.Receive(first, SocketFlags.Peek) == 0 ? throw new WireException("closed during the handshake") : first[0];
    }
}
