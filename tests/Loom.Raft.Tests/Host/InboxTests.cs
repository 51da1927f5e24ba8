using Loom.Raft.Consensus;
using Loom.Raft.Host;
using Loom.Raft.Replica;
using Loom.Raft.Threads;
using NUnit.Framework;

namespace Loom.Raft.Tests.Host;

public sealed class InboxTests
{
    /// <summary>P5: a peer that sends one-byte chunks must not fill our memory with signs of life.</summary>
    [Test]
    public void One_sign_of_life_per_peer_waits_for_the_loop()
    {
        var inbox = new Inbox(new Signal());
        for (int i = 0; i < 1000; i++) inbox.PostHeard(new MemberId(1 + (ulong)(i % 2)));
        List<ReplicaEvent> taken = inbox.TakeAll([]);
        Assert.That(taken, Has.Count.EqualTo(2).And.All.InstanceOf<PeerHeard>());
        inbox.PostHeard(new MemberId(1));
        Assert.That(inbox.TakeAll([]), Has.Count.EqualTo(1), "the next one counts again");
    }
}
