using Loom.Raft.Host;
using NUnit.Framework;

namespace Loom.Raft.Tests.Host;

public sealed class ReplicationLoadTests
{
    private const long Millisecond = 1_000_000;

    [Test]
    public void The_odd_write_is_no_load_and_a_flow_of_them_or_a_queue_is()
    {
        long now = 0;
        var load = new ReplicationLoad(() => now);
        for (int i = 0; i < 20; i++)
        {
            load.Written(now += 20 * Millisecond);
            Assert.That(load.IsHigh, Is.False);
        }

        for (int i = 0; i < 5; i++) load.Written(now += 10 * Millisecond);
        Assert.That(load.IsHigh);
        now += 100 * Millisecond;
        Assert.That(load.IsHigh, Is.False);
        load.Queued(now);
        now += 49 * Millisecond;
        Assert.That(load.IsHigh);
        now += Millisecond;
        Assert.That(load.IsHigh, Is.False);
    }
}
