using System.Net;
using System.Net.Sockets;

namespace Loom.Testing;

/// <summary>Free loopback ports, all different. Another process may take one between the look and the use; the test then fails and says so.</summary>
internal static class FreePorts
{
    public static int Take() => Take(1)[0];

    public static int[] Take(int count)
    {
        TcpListener[] held = [.. Enumerable.Range(0, count).Select(_ => new TcpListener(IPAddress.Loopback, 0))];
        foreach (TcpListener listener in held)
        {
            listener.Start();
        }

        int[] ports = [.. held.Select(l => ((IPEndPoint)l.LocalEndpoint).Port)];
        foreach (TcpListener listener in held)
        {
            listener.Dispose();
        }

        return ports;
    }
}
