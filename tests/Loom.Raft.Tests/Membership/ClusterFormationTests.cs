using Loom.Raft.Consensus;
using Loom.Raft.Membership;
using Loom.Raft.Threads;
using Loom.Raft.Transport;
using Microsoft.Extensions.Logging.Abstractions;
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
            List<Node> started = [];
            foreach (int index in order)
            {
                var node = new Node(Three[index].Name, incarnation: 100 + (ulong)index);
                started.Add(node);
                foreach (Node other in started.Where(o => o != node)) node.Dial(other);
                // A voter that is missing keeps everybody waiting; a standby nobody.
                bool allVoters = Three.Where(m => m.Role == MemberRole.Voter).All(m => started.Any(s => s.Name == m.Name));
                Assert.That(started.Select(s => s.Formation.Decided is not null), Is.All.EqualTo(allVoters));
            }
            ulong[] ids = [.. started.Select(s => InitialConfiguration.ClusterId(s.Formation.Decided!, "t"))];
            Assert.That(ids, Is.All.EqualTo(ids[0]));
            Configuration formed = started[0].Formation.Decided!;
            Assert.That(formed.Members.Single(m => m.Name == "east").Incarnation, Is.EqualTo(100));
            Assert.That(formed.Members.Single(m => m.Name == "spare").Incarnation, Is.Zero, "standbys are pinned later");
        }
    }

    [Test]
    public void A_member_that_missed_the_moment_takes_the_configuration_from_one_that_formed()
    {
        (Node east, Node west, Node south) = (new Node("east", 1), new Node("west", 2), new Node("south", 3));
        south.Dial(east);
        west.Dial(east);
        west.Dial(south);
        west.Form();
        Assert.That(south.Formation.Decided, Is.Null.Or.Not.Null);
        south.Dial(west);
        Assert.That(InitialConfiguration.ClusterId(south.Formation.Decided!, "t"), Is.EqualTo(west.ClusterId));
        var spare = new Node("spare", 4);
        spare.Dial(west);
        Assert.That(InitialConfiguration.ClusterId(spare.Formation.Decided!, "t"), Is.EqualTo(west.ClusterId), "a standby that comes later");
    }

    /// <summary>E1: the id is the same, the directory is not: it does not vote, does not count, and cannot form a second cluster.</summary>
    [Test]
    public void An_emptied_directory_is_refused_on_both_sides_and_says_so()
    {
        (Node east, Node west, Node south) = Formed();
        var emptied = new Node("east", incarnation: 999);
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
        (Node _, Node west, Node _) = Formed();
        west.Up = InitialConfiguration.IdOf("t", "east");
        HelloAnswer answer = new Node("east", incarnation: 999).Dial(west);
        Assert.That(answer.Verdict, Is.EqualTo(HelloVerdict.AlreadyRunning));
        Assert.That(answer.Reason, Does.Contain("east is already running at http://h1:1"));
    }

    [Test]
    public void Lanes_exist_only_between_members_of_one_cluster_id()
    {
        // East's directory was emptied between two hellos, so west and south formed with different incarnations of it.
        (Node west, Node south) = (new Node("west", 2), new Node("south", 3));
        new Node("east", 1).Dial(west);
        new Node("east", 999).Dial(south);
        west.Dial(south);
        west.Form();
        south.Form();
        Assert.That(west.ClusterId, Is.Not.EqualTo(south.ClusterId));
        Assert.That(west.Dial(south).Verdict, Is.EqualTo(HelloVerdict.WrongCluster));
    }

    [Test]
    public void Another_token_another_list_and_another_member_are_refused_by_name()
    {
        var east = new Node("east", 1);
        Assert.That(new Node("west", 2, token: "other").Dial(east).Reason, Does.Contain("different cluster tokens"));
        InitialMember[] moved = [Three[0], Three[1] with { Datacenter = "x" }, Three[2], Three[3]];
        HelloAnswer differs = new Node("west", 2, list: moved).Dial(east);
        Assert.That(differs.Verdict, Is.EqualTo(HelloVerdict.ConfigurationDiffers));
        Assert.That(differs.Reason, Does.Contain("west@w=http://h2:1 here, west@x=http://h2:1 there"));
        PeerHello lost = new Node("west", 2).Formation.Hello(new MemberId(5), LaneKind.Control);
        Assert.That(east.Formation.Judge(lost, out _).Verdict, Is.EqualTo(HelloVerdict.WrongMember));
    }

    [Test]
    public void The_leader_pins_a_standby_and_client_urls_once_it_has_heard_them()
    {
        (Node _, Node west, Node _) = Formed();
        Configuration? own = west.Formation.Improved();
        Assert.That(own!.Members.Single(m => m.Name == "east").ClientUrls, Is.EqualTo(new[] { "http://east:2379" }));
        var spare = new Node("spare", 44);
        spare.Dial(west);
        spare.Form();
        spare.Dial(west);
        Configuration better = west.Formation.Improved()!;
        Assert.That(better.Members.Single(m => m.Name == "spare").Incarnation, Is.EqualTo(44));
        Assert.That(better.Voters, Is.EqualTo(west.Formation.Decided!.Voters), "same voters, same quorums");
        west.Formation.Adopt(better);
        Assert.That(west.Formation.Improved(), Is.Null);
        Assert.That(new Node("spare", 45).Dial(west).Verdict, Is.EqualTo(HelloVerdict.Unpinned), "from now on only this one");
    }

    [Test]
    public void News_is_what_was_not_heard_before()
    {
        (Node east, Node west) = (new Node("east", 1), new Node("west", 2));
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

    private static (Node East, Node West, Node South) Formed()
    {
        (Node east, Node west, Node south) = (new Node("east", 1), new Node("west", 2), new Node("south", 3));
        west.Dial(east);
        south.Dial(east);
        south.Dial(west);
        east.Form();
        west.Form();
        south.Form();
        Assert.That(east.Dial(west).Verdict, Is.EqualTo(HelloVerdict.Accepted));
        return (east, west, south);
    }

    private sealed class Node
    {
        private readonly string token;

        public Node(string name, ulong incarnation, string token = "t", InitialMember[]? list = null)
        {
            Name = name;
            this.token = token;
            var options = new RaftNodeOptions { Name = name, ClusterToken = token, InitialCluster = list ?? Three };
            Configuration initial = InitialConfiguration.Of(options);
            Id = InitialConfiguration.IdOf(token, name);
            Formation = new ClusterFormation(
                new MemberIdentity(Id, incarnation, name, token, 0, 0), initial, initial, [$"http://{name}:2379"], id => id == Up, new Signal(), NullLogger.Instance);
        }

        public string Name { get; }

        public MemberId Id { get; }

        public MemberId Up { get; set; }

        public ClusterFormation Formation { get; }

        public ulong ClusterId { get; private set; }

        public void Form()
        {
            ClusterId = InitialConfiguration.ClusterId(Formation.Decided!, token);
            Formation.Formed(ClusterId);
        }

        /// <summary>One handshake, as the two sides of a connection do it.</summary>
        public HelloAnswer Dial(Node other)
        {
            HelloAnswer answer = other.Formation.Judge(Formation.Hello(other.Id, LaneKind.Control), out _);
            return Formation.Answered(other.Id, answer);
        }
    }
}
