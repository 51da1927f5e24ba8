using System.Net;
using System.Net.Sockets;

namespace Loom.Raft.Tests.Snapshots;

/// <summary>Forwards connections to a port and flips one bit of the answer, once, at a given byte of the first connection whose answer is that long.</summary>
internal sealed class FlippingProxy : IDisposable
{
    private readonly Socket listener = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
    private readonly List<Socket> open = [];
    private readonly int target;
    private readonly long flipAt;
    private int flips;

    public FlippingProxy(int target, long flipAt)
    {
        (this.target, this.flipAt) = (target, flipAt);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen();
        new Thread(Accept) { IsBackground = true }.Start();
    }

    public int Port => ((IPEndPoint)listener.LocalEndPoint!).Port;

    public int Flips => Volatile.Read(ref flips);

    public void Dispose()
    {
        listener.Dispose();
        lock (open)
        {
            foreach (Socket socket in open) socket.Dispose();
        }
    }

    private void Accept()
    {
        try
        {
            while (true)
            {
                Socket near = listener.Accept();
                var far = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
                near.NoDelay = true;
                lock (open) open.AddRange([near, far]);
                try
                {
                    far.Connect(IPAddress.Loopback, target);
                }
                catch (SocketException)
                {
                    near.Dispose();
                    continue;
                }
                new Thread(() => Pump(near, far, flip: false)) { IsBackground = true }.Start();
                new Thread(() => Pump(far, near, flip: true)) { IsBackground = true }.Start();
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // Disposed.
        }
    }

    private void Pump(Socket from, Socket to, bool flip)
    {
        var buffer = new byte[32 * 1024];
        long passed = 0;
        try
        {
            for (int read; (read = from.Receive(buffer)) > 0; passed += read)
            {
                if (flip && passed <= flipAt && flipAt < passed + read && Interlocked.CompareExchange(ref flips, 1, 0) == 0) buffer[flipAt - passed] ^= 4;
                for (int sent = 0; sent < read;) sent += to.Send(buffer.AsSpan(sent, read - sent));
            }
            to.Shutdown(SocketShutdown.Send);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            from.Dispose();
            to.Dispose();
        }
    }
}
