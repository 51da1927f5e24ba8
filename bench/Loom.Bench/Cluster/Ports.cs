using System.Net;
using System.Net.Sockets;

namespace Loom.Bench.Cluster;

/// <summary>Free loopback ports. They may be taken between the look and the use; the bench then fails at start and says so.</summary>
internal static class Ports
{
    public static int[] Free(int count)
    {
        List<TcpListener> listeners = [];
        try
        {
            for (int i = 0; i < count; i++)
            {
                TcpListener listener = new(IPAddress.Loopback, 0);
                listener.Start();
                listeners.Add(listener);
            }

            return [.. listeners.Select(l => ((IPEndPoint)l.LocalEndpoint).Port)];
        }
        finally
        {
            listeners.ForEach(l => l.Stop());
        }
    }
}
