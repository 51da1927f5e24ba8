using System.Net;
using Loom.Raft.Transport;
using NUnit.Framework;

namespace Loom.Raft.Tests.Transport;

/// <summary>Who holds most handshakes open loses the oldest of his; nobody else does.</summary>
public sealed class UnfinishedHandshakesTests
{
    [Test]
    public void The_oldest_of_the_busiest_address_goes_first()
    {
        var unfinished = new UnfinishedHandshakes<string>(4);
        Assert.That(Add("a1", "10.0.0.1"), Is.Null);
        Assert.That(Add("b1", "10.0.0.2"), Is.Null);
        Assert.That(Add("b2", "10.0.0.2"), Is.Null);
        Assert.That(Add("c1", "10.0.0.3"), Is.Null);
        Assert.That(Add("c2", "10.0.0.3"), Is.EqualTo("b1"), "two have two, and b began");
        Assert.That(Add("c3", "10.0.0.3"), Is.EqualTo("c1"));
        Assert.That(Add("d1", "10.0.0.4"), Is.EqualTo("c2"), "who comes anew pushes out nobody who holds one");
        Assert.That(unfinished.ToArray(), Is.EqualTo(new[] { "a1", "b2", "c3", "d1" }));

        string? Add(string connection, string from)
        {
            _ = unfinished.Add(connection, IPAddress.Parse(from), out string? evicted);
            return evicted;
        }
    }

    [Test]
    public void What_is_done_counts_no_more()
    {
        var unfinished = new UnfinishedHandshakes<string>(2);
        LinkedListNode<UnfinishedHandshakes<string>.Entry> first = unfinished.Add("a", IPAddress.Loopback, out _);
        Assert.That(unfinished.Remove(first), Is.True);
        Assert.That(unfinished.Remove(first), Is.False);
        _ = unfinished.Add("b", IPAddress.Loopback, out _);
        LinkedListNode<UnfinishedHandshakes<string>.Entry> late = unfinished.Add("c", null, out string? evicted);
        Assert.That((evicted, unfinished.Count), Is.EqualTo(((string?)null, 2)));
        _ = unfinished.Add("d", IPAddress.Loopback, out evicted);
        Assert.That(evicted, Is.EqualTo("b"));
        Assert.That(unfinished.Remove(late), Is.True);
    }

    [Test]
    public void One_machine_is_one_however_it_writes_its_address()
    {
        var unfinished = new UnfinishedHandshakes<string>(3);
        _ = unfinished.Add("a", IPAddress.Parse("2001:db8::1"), out _);
        _ = unfinished.Add("b", IPAddress.Parse("10.0.0.1"), out _);
        _ = unfinished.Add("c", IPAddress.Parse("2001:db8::beef:2"), out _);
        _ = unfinished.Add("d", IPAddress.Parse("::ffff:10.0.0.2"), out string? evicted);
        Assert.That(evicted, Is.EqualTo("a"), "the same half of an IPv6 address");
    }
}
