using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace Loom.Raft.Transport;

/// <summary>A peer URL: <c>http://host:port</c>, or <c>https://host:port</c> for TLS. Names are resolved at every dial, so that a member may move (N5).</summary>
internal readonly record struct PeerAddress(string Host, int Port, bool IsSecure = false)
{
    public static PeerAddress Parse(string url)
    {
        if (!Uri.TryCreate(url, UriKind.Absolute, out Uri? uri)) throw Cannot(url, "it is not a URL; write http://host:port");
        if (uri.Scheme is not ("http" or "https")) throw Cannot(url, $"the scheme {uri.Scheme} is not known; write http://host:port");
        if (uri.AbsolutePath is not ("" or "/")) throw Cannot(url, "a peer URL has no path");
        if (uri.IsDefaultPort && !url.TrimEnd('/').EndsWith(string.Create(CultureInfo.InvariantCulture, $":{uri.Port}"), StringComparison.Ordinal)) throw Cannot(url, "the port is missing; write http://host:port");
        return new PeerAddress(uri.IdnHost.Trim('[', ']'), uri.Port, uri.Scheme == "https");
    }

    /// <summary>Addresses to dial, in the resolver's order.</summary>
    public IPEndPoint[] Resolve()
    {
        int port = Port;
        if (IPAddress.TryParse(Host, out IPAddress? literal)) return [new IPEndPoint(literal, port)];
        // IPv4 first: "localhost" to listen at means 127.0.0.1, as everywhere.
        return [.. Dns.GetHostAddresses(Host).OrderBy(a => a.AddressFamily == AddressFamily.InterNetwork ? 0 : 1).Select(address => new IPEndPoint(address, port))];
    }

    /// <summary>Opens a listening socket here.</summary>
    public Socket Listen(int backlog)
    {
        try
        {
            IPEndPoint endPoint = Resolve()[0];
            var socket = new Socket(endPoint.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
            try
            {
                // On Unix .NET sets SO_REUSEADDR for a listener by itself: a restarted member gets its port back at once.
                socket.Bind(endPoint);
                socket.Listen(backlog);
                return socket;
            }
            catch
            {
                socket.Dispose();
                throw;
            }
        }
        catch (SocketException e)
        {
            string fix = e.SocketErrorCode == SocketError.AddressAlreadyInUse ? "another process uses the port; stop it or choose another --listen-peer-urls" : "choose an address of this machine for --listen-peer-urls";
            throw new RaftException(RaftErrorCode.CannotOpen, $"cannot listen for members on {this}: {e.Message}; {fix}", WriteOutcome.NotApplied, e);
        }
    }

    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{(IsSecure ? "https" : "http")}://{(Host.Contains(':', StringComparison.Ordinal) ? $"[{Host}]" : Host)}:{Port}");

    private static RaftException Cannot(string url, string why) => new(RaftErrorCode.CannotOpen, $"the peer URL '{url}' cannot be used: {why}");
}
