using Loom.Raft.Host;
using Loom.Raft.Snapshots;
using NUnit.Framework;

namespace Loom.Raft.Tests.Host;

public sealed class ReplicationLoadTests
{
    private const long Millisecond = 1_000_000;

    [Test]
    public void The_odd_write_is_no_strain_and_a_flow_of_them_is()
    {
        long now = 0;
        var load = new ReplicationLoad(() => now);
        for (int i = 0; i < 20; i++)
        {
            load.Written(now += 20 * Millisecond);
            Assert.That(load.Strain, Is.EqualTo(ReplicationStrain.None));
        }

        for (int i = 0; i < 5; i++) load.Written(now += 10 * Millisecond);
        Assert.That(load.Strain, Is.EqualTo(ReplicationStrain.Busy));
        load.Queued(now);
        Assert.That(load.Strain, Is.EqualTo(ReplicationStrain.Queued));
        now += 49 * Millisecond;
        Assert.That(load.Strain, Is.EqualTo(ReplicationStrain.Queued));
        now += Millisecond;
        Assert.That(load.Strain, Is.EqualTo(ReplicationStrain.None));
    }
}
