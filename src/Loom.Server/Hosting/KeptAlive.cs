using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;

namespace Loom.Server.Hosting;

/// <summary>
/// TCP's own probes on connections of clients, with Go's times, as etcd has them: a client whose machine has gone without a word is found within three minutes. HTTP/2 has pings of its own (<c>--grpc-keepalive-interval</c>); a quiet
/// watch through the JSON gateway has nothing else.
/// </summary>
internal static class KeptAlive
{
    private const int IdleSeconds = 15;
    private const int IntervalSeconds = 15;
    private const int Probes = 9;

    /// <summary>Accepted sockets take the options of the one that listens.</summary>
    public static Socket Listen(EndPoint endpoint)
    {
        Socket socket = SocketTransportOptions.CreateDefaultBoundListenSocket(endpoint);
        socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.KeepAlive, true);
        socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveTime, IdleSeconds);
        socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveInterval, IntervalSeconds);
        socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveRetryCount, Probes);
        return socket;
    }
}
