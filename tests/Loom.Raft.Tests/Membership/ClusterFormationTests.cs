using Loom.Raft.Consensus;
using Loom.Raft.Membership;
using Loom.Raft.Transport;
using NUnit.Framework;

namespace Loom.Raft.Tests.Membership;

/// <summary>Formation without sockets: members ask each other by calling the gates directly (N5, E1).</summary>
public sealed class ClusterFormationTests
{
    private static readonly InitialMember[] Three =
    [
        new("east", "e", MemberRole.Voter, ["http://h1:1"]), new("west", "w", MemberRole.Voter, ["http://h2:1"]), new("south", "s", MemberRole.Voter, ["http://h3:1"]),
        new("spare", "s", MemberRole.Standby, ["http://h4:1"]),
    ];

    [Test]
    public void All_members_agree_on_one_configuration_whatever_the_order()
    {
        int[][] orders = [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1], [1, 3, 0, 2]];
        foreach (int[] order in orders)
        {
            List<FormingMember> started = [];
            foreach (int index in order)
            {
                FormingMember node = Node(Three[index].Name, incarnation: 100 + (ulong)index);
                started.Add(node);
                FormingMember.Meet(started);
                // A voter that is missing keeps everybody waiting; a standby nobody.
                bool allVoters = Three.Where(m => m.Role == MemberRole.Voter).All(m => started.Any(s => s.Name == m.Name));
                Assert.That(started.Select(s => s.ClusterId != 0), Is.All.EqualTo(allVoters));
            }
            ulong[] ids = [.. started.Select(s => s.ClusterId)];
            Assert.That(ids, Is.All.EqualTo(ids[0]));
            Configuration formed = started[0].Formation.Decided!;
            Assert.That(formed.Members.Single(m => m.Name == "east").Incarnation, Is.EqualTo(100));
            Assert.That(formed.Members.Single(m => m.Name == "spare").Incarnation, Is.Zero, "standbys are pinned later");
        }
    }

    [Test]
    public void A_member_that_missed_the_moment_takes_the_configuration_from_one_that_formed()
    {
        (FormingMember east, FormingMember west, FormingMember south) = (Node("east", 1), Node("west", 2), Node("south", 3));
        FormingMember.Meet(east, west, south);
        south = Node("south", 3);
        south.Dial(west);
        south.Settle();
        Assert.That(south.ClusterId, Is.EqualTo(west.ClusterId));
        FormingMember spare = Node("spare", 4);
        spare.Dial(west);
        spare.Settle();
        Assert.That(spare.ClusterId, Is.EqualTo(west.ClusterId), "a standby that comes later");
    }

    /// <summary>E1: the id is the same, the directory is not: it does not vote, does not count, and cannot form a second cluster.</summary>
    [Test]
    public void An_emptied_directory_is_refused_on_both_sides_and_says_so()
    {
        (FormingMember east, FormingMember west, FormingMember south) = Formed();
        FormingMember emptied = Node("east", incarnation: 999);
        Assert.That(emptied.Dial(west).Verdict, Is.EqualTo(HelloVerdict.Unpinned));
        Assert.That(emptied.Dial(south).Verdict, Is.EqualTo(HelloVerdict.Unpinned));
        Assert.That(west.Dial(emptied).Verdict, Is.EqualTo(HelloVerdict.Unpinned));
        Assert.That(emptied.Formation.Decided, Is.Null);
        Assert.That(emptied.Formation.Obstacle, Does.Contain("emptied or replaced"));
        _ = east;
    }

    [Test]
    public void A_second_process_of_a_running_member_is_told_that_it_runs()
    {
        (FormingMember _, FormingMember west, FormingMember _) = Formed();
        west.Up = InitialConfiguration.IdOf("t", "east");
        HelloAnswer answer = Node("east", incarnation: 999).Dial(west);
        Assert.That(answer.Verdict, Is.EqualTo(HelloVerdict.AlreadyRunning));
        Assert.That(answer.Reason, Does.Contain("east is already running at http://h1:1"));
    }

    /// <summary>A copied directory has the incarnation of the first; only the process tells them apart, and only while the first one is connected.</summary>
    [Test]
    public void A_second_process_on_a_copy_of_the_directory_is_refused_while_the_first_is_connected()
    {
        (FormingMember east, FormingMember west, FormingMember _) = Formed();
        west.Up = east.Id;
        Assert.That(east.Dial(west).Verdict, Is.EqualTo(HelloVerdict.Accepted), "the forward lane of the process that is up");
        east.Boot();
        HelloAnswer answer = east.Dial(west);
        Assert.That(answer.Verdict, Is.EqualTo(HelloVerdict.AlreadyRunning));
        Assert.That(answer.Reason, Does.Contain("already running").And.Contain("a copy of its data directory"));
        west.Up = MemberId.None;
        Assert.That(east.Dial(west).Verdict, Is.EqualTo(HelloVerdict.Accepted), "a restart");
    }

    [Test]
    public void Lanes_exist_only_between_members_of_one_cluster_id()
    {
        // Two sets of directories formed the same list, apart from each other.
        (FormingMember west, FormingMember south) = (Node("west", 2), Node("south", 3));
        FormingMember.Meet(Node("east", 1), west, Node("south", 3));
        FormingMember.Meet(Node("east", 999), Node("west", 2), south);
        Assert.That(west.ClusterId, Is.Not.EqualTo(south.ClusterId));
        Assert.That(west.Dial(south).Verdict, Is.EqualTo(HelloVerdict.WrongCluster));
    }

    [Test]
    public void Another_token_another_list_and_another_member_are_refused_by_name()
    {
        FormingMember east = Node("east", 1);
        Assert.That(Node("west", 2, token: "other").Dial(east).Reason, Does.Contain("different cluster tokens"));
        InitialMember[] moved = [Three[0], Three[1] with { Datacenter = "x" }, Three[2], Three[3]];
        HelloAnswer differs = Node("west", 2, list: moved).Dial(east);
        Assert.That(differs.Verdict, Is.EqualTo(HelloVerdict.ConfigurationDiffers));
        Assert.That(differs.Reason, Does.Contain("west@w=http://h2:1 here, west@x=http://h2:1 there"));
        PeerHello lost = Node("west", 2).Formation.Hello(new MemberId(5), LaneKind.Control);
        Assert.That(east.Formation.Judge(lost, out _).Verdict, Is.EqualTo(HelloVerdict.WrongMember));
    }

    [Test]
    public void Members_that_were_restored_from_one_backup_form_a_cluster_of_its_own()
    {
        FormingMember[] restored = [Node("east", 1, origin: 7), Node("west", 2, origin: 7), Node("south", 3, origin: 7), Node("spare", 4, origin: 7)];
        FormingMember.Meet(restored);
        Assert.That(restored.Select(m => m.ClusterId).Distinct().Single(), Is.Not.Zero);
        FormingMember[] empty = [Node("east", 1), Node("west", 2), Node("south", 3)];
        FormingMember.Meet(empty);
        Assert.That(empty[0].ClusterId, Is.Not.EqualTo(restored[0].ClusterId), "of the same directories, but with another beginning");
        Assert.That(restored[0].Dial(restored[1]).Verdict, Is.EqualTo(HelloVerdict.Accepted));
    }

    /// <summary>S8: their logs begin behind different states, so they must never be one cluster.</summary>
    [TestCase(7UL, 8UL, "west and east were restored from different backups, or in different ways")]
    [TestCase(7UL, 0UL, "east was restored from a backup and west was not")]
    [TestCase(0UL, 8UL, "west was restored from a backup and east was not")]
    public void Members_that_were_restored_from_different_backups_refuse_each_other_by_name(ulong one, ulong other, string says)
    {
        (FormingMember east, FormingMember west, FormingMember south) = (Node("east", 1, origin: one), Node("west", 2, origin: other), Node("south", 3, origin: one));
        HelloAnswer answer = west.Dial(east);
        Assert.That(answer.Verdict, Is.EqualTo(HelloVerdict.OriginDiffers));
        Assert.That(answer.Reason, Does.Contain(says).And.Contain("restore all members of one cluster from the same file"));
        FormingMember.Meet(east, west, south);
        Assert.That(new[] { east, west, south }.Select(m => m.ClusterId), Is.All.Zero);
        Assert.That(east.Formation.Obstacle, Does.Contain("restored from"));
    }

    [Test]
    public void A_directory_that_was_restored_from_something_else_does_not_join_a_cluster_that_has_formed()
    {
        FormingMember[] formed = [Node("east", 1, origin: 7), Node("west", 2, origin: 7), Node("south", 3, origin: 7)];
        FormingMember.Meet(formed);
        foreach (FormingMember member in formed) member.Formation.Report(formed[0].Id, 100);
        FormingMember spare = Node("spare", 4, origin: 8);
        foreach (FormingMember member in formed)
        {
            Assert.That(spare.Dial(member).Verdict, Is.EqualTo(HelloVerdict.OriginDiffers));
            Assert.That(member.Dial(spare).Verdict, Is.EqualTo(HelloVerdict.OriginDiffers));
        }
        Assert.That((spare.Formation.Decided, spare.Formation.Joining), Is.EqualTo(((Configuration?)null, (JoinDecision?)null)));
    }

    /// <summary>E1: the state comes from the others, not from the backup.</summary>
    [Test]
    public void An_emptied_directory_joins_a_cluster_that_began_from_a_backup()
    {
        FormingMember[] formed = [Node("east", 1, origin: 7), Node("west", 2, origin: 7), Node("south", 3, origin: 7)];
        FormingMember.Meet(formed);
        foreach (FormingMember member in formed) member.Formation.Report(formed[0].Id, 100);
        FormingMember south = formed[2];
        south.Empty(33);
        _ = south.Dial(formed[0]);
        _ = south.Dial(formed[1]);
        Assert.That(south.Formation.Joining, Has.Property("ClusterId").EqualTo(formed[0].ClusterId).And.Property("Origin").EqualTo(7));
        south.Join();
        Assert.That(south.Dial(formed[0]).Verdict, Is.EqualTo(HelloVerdict.Accepted));
    }

    [Test]
    public void The_leader_pins_a_standby_and_client_urls_once_it_has_heard_them()
    {
        (FormingMember _, FormingMember west, FormingMember _) = Formed();
        Configuration? own = west.Formation.Improved();
        Assert.That(own!.Members.Single(m => m.Name == "east").ClientUrls, Is.EqualTo(new[] { "http://east:2379" }));
        FormingMember spare = Node("spare", 44);
        spare.Dial(west);
        spare.Settle();
        spare.Dial(west);
        Configuration better = west.Formation.Improved()!;
        Assert.That(better.Members.Single(m => m.Name == "spare").Incarnation, Is.EqualTo(44));
        Assert.That(better.Voters, Is.EqualTo(west.Formation.Decided!.Voters), "same voters, same quorums");
        west.Adopt(5, better);
        Assert.That(west.Formation.Improved(), Is.Null);
        Assert.That(Node("spare", 45).Dial(west).Verdict, Is.EqualTo(HelloVerdict.Unpinned), "from now on only this one");
    }

    [Test]
    public void News_is_what_was_not_heard_before()
    {
        (FormingMember east, FormingMember west) = (Node("east", 1), Node("west", 2));
        PeerHello hello = east.Formation.Hello(west.Id, LaneKind.Control);
        _ = west.Formation.Judge(hello, out bool first);
        _ = west.Formation.Judge(hello, out bool second);
        Assert.That((first, second), Is.EqualTo((true, false)), "or two members would call each other back for ever");
    }

    [TestCase("nobody", null, "InitialCluster does not name this member 'nobody', it lists east, west, south, spare")]
    [TestCase("east", "mars", "Datacenter is 'mars', but InitialCluster says")]
    public void A_list_that_does_not_hold_this_member_is_refused(string name, string? datacenter, string says) =>
        Assert.That(
            () => InitialConfiguration.Of(new RaftNodeOptions { Name = name, Datacenter = datacenter, InitialCluster = Three }),
            Throws.InstanceOf<RaftException>().With.Message.Contains(says));

    private static (FormingMember East, FormingMember West, FormingMember South) Formed()
    {
        (FormingMember east, FormingMember west, FormingMember south) = (Node("east", 1), Node("west", 2), Node("south", 3));
        FormingMember.Meet(east, west, south);
        Assert.That(east.Dial(west).Verdict, Is.EqualTo(HelloVerdict.Accepted));
        return (east, west, south);
    }

    private static FormingMember Node(string name, ulong incarnation, string token = "t", InitialMember[]? list = null, ulong origin = 0) => new(name, incarnation, list ?? Three, token, origin);
}
