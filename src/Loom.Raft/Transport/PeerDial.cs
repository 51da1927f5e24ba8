using System.Net;
using System.Net.Sockets;

namespace Loom.Raft.Transport;

/// <summary>Dials a peer and hangs up.</summary>
internal static class PeerDial
{
    /// <summary>Tries its URLs, resolved anew, one after the other: the first connection that works. "Refused" is thrown only if every address refuses: a name that also stands for an address nobody listens at is no death (E2).</summary>
    /// <exception cref="SocketException">No address could be reached.</exception>
    public static (Socket Socket, PeerAddress At) Connect(IReadOnlyList<string> urls, long limit, Action<Socket> adopt)
    {
        SocketException? failure = null;
        foreach (string url in urls)
        {
            var address = PeerAddress.Parse(url);
            foreach (IPEndPoint endPoint in address.Resolve())
            {
                var socket = new Socket(endPoint.AddressFamily, SocketType.Stream, ProtocolType.Tcp)
                {
                    NoDelay = true,
                    // On Linux the send timeout bounds connect too, which has none of its own.
                    SendTimeout = (int)(limit / 1_000_000),
                };
                try
                {
                    adopt(socket);
                    socket.Connect(endPoint);
                    return (socket, address);
                }
                catch (SocketException e)
                {
                    if (failure is null || failure.SocketErrorCode == SocketError.ConnectionRefused) failure = e;
                    socket.Dispose();
                }
                catch
                {
                    socket.Dispose();
                    throw;
                }
            }
        }
        throw failure ?? new SocketException((int)SocketError.HostNotFound);
    }

    /// <summary>Ends a connection at once: whoever is blocked in it wakes up. Null and ended ones are welcome.</summary>
    public static void HangUp(Socket? socket)
    {
        if (socket is null) return;
        try
        {
            socket.Shutdown(SocketShutdown.Both);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // It was not connected any more, or never.
        }
        socket.Dispose();
    }
}
