using System.Net;
using System.Net.Sockets;

namespace Loom.Testing;

/// <summary>
/// Free loopback ports, none given twice by this process. They lie below the range from which the kernel takes ports for outgoing connections (32768 on, unless an operator moved it), which
/// would otherwise take one between the look and the use, or while a process that is killed and started again leaves it for a moment.
/// </summary>
internal static class FreePorts
{
    private const int Lowest = 10_000;
    private const int Beyond = 32_000;

    private static readonly Lock Gate = new();
    private static readonly HashSet<int> Given = [];

    public static int Take() => Take(1)[0];

    public static int[] Take(int count)
    {
        lock (Gate)
        {
            return [.. Enumerable.Range(0, count).Select(_ => Next())];
        }
    }

    private static int Next()
    {
        // By chance, because other test processes look for some at the same time.
        for (int tries = 0; tries < 1_000; tries++)
        {
            int port = Random.Shared.Next(Lowest, Beyond);
            if (!Given.Contains(port) && IsFree(port))
            {
                Given.Add(port);
                return port;
            }
        }

        throw new InvalidOperationException($"no free port between {Lowest} and {Beyond}");
    }

    private static bool IsFree(int port)
    {
        using TcpListener listener = new(IPAddress.Loopback, port);
        try
        {
            listener.Start();
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }
}
