using System.Net;
using System.Net.Sockets;

namespace Loom.Raft.Transport;

/// <summary>
/// Connections whose handshake is not done: so many and no more. When one too many comes, the oldest goes of the address that holds most of them: an honest handshake takes milliseconds, so who holds many
/// open is not honest, and a flood from one machine pushes out itself and nobody else.
/// </summary>
internal sealed class UnfinishedHandshakes<T>(int most)
    where T : class
{
    private readonly LinkedList<Entry> entries = new();
    private readonly Dictionary<IPAddress, int> counts = [];

    public int Count
    {
        get
        {
            lock (entries) return entries.Count;
        }
    }

    /// <param name="connection">What has come.</param>
    /// <param name="from">Where from; null: not known.</param>
    /// <param name="evicted">What has to be closed for it, or null.</param>
    public LinkedListNode<Entry> Add(T connection, IPAddress? from, out T? evicted)
    {
        lock (entries)
        {
            LinkedListNode<Entry> node = entries.AddLast(new Entry(connection, NetworkOf(from ?? IPAddress.None)));
            counts[node.Value.From] = counts.GetValueOrDefault(node.Value.From) + 1;
            evicted = entries.Count > most ? Evict() : null;
            return node;
        }
    }

    /// <summary>Its handshake is done, or it is gone. False: it was evicted, or removed before.</summary>
    public bool Remove(LinkedListNode<Entry> node)
    {
        lock (entries)
        {
            if (node.List is null) return false;
            Take(node);
            return true;
        }
    }

    /// <summary>All that there are.</summary>
    public T[] ToArray()
    {
        lock (entries) return [.. entries.Select(entry => entry.Connection)];
    }

    private T Evict()
    {
        LinkedListNode<Entry> worst = entries.First!;
        for (LinkedListNode<Entry>? node = worst.Next; node is not null; node = node.Next)
        {
            if (counts[node.Value.From] > counts[worst.Value.From]) worst = node;
        }
        Take(worst);
        return worst.Value.Connection;
    }

    private void Take(LinkedListNode<Entry> node)
    {
        entries.Remove(node);
        if (--counts[node.Value.From] == 0) _ = counts.Remove(node.Value.From);
    }

    /// <summary>An IPv6 address's first half: the other one is whatever its machine likes.</summary>
    private static IPAddress NetworkOf(IPAddress address)
    {
        if (address.IsIPv4MappedToIPv6) return address.MapToIPv4();
        if (address.AddressFamily != AddressFamily.InterNetworkV6) return address;
        byte[] bytes = address.GetAddressBytes();
        Array.Clear(bytes, 8, 8);
        return new IPAddress(bytes);
    }

    /// <summary>One of them, and its network.</summary>
    internal sealed record Entry(T Connection, IPAddress From);
}
