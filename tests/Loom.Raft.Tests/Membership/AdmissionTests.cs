using Loom.Raft.Consensus;
using Loom.Raft.Membership;
using Loom.Raft.Transport;
using NUnit.Framework;

namespace Loom.Raft.Tests.Membership;

/// <summary>
/// Who comes under the name or id of a member of a formed cluster, without sockets (E1, E4): an empty directory, a newcomer, an old copy, one that was replaced, one that belongs to a later configuration.
/// </summary>
public sealed class AdmissionTests
{
    private static readonly InitialMember[] Three =
    [
        new("east", "e", MemberRole.Voter, ["http://h1:1"]), new("west", "w", MemberRole.Voter, ["http://h2:1"]), new("south", "s", MemberRole.Voter, ["http://h3:1"]),
    ];

    private FormingMember east = null!, west = null!, south = null!;

    [SetUp]
    public void Form()
    {
        (east, west, south) = (Node("east", 1), Node("west", 2), Node("south", 3));
        FormingMember.Meet(east, west, south);
        foreach (FormingMember member in new[] { east, west, south }) member.Formation.Report(west.Id, 10);
    }

    [Test]
    public void An_emptied_directory_joins_under_a_new_id_once_a_quorum_of_the_others_is_heard()
    {
        MemberId old = east.Id;
        east.Empty(999);
        Assert.That(east.Dial(west).Verdict, Is.EqualTo(HelloVerdict.Unpinned));
        Assert.That(east.Formation.Joining, Is.Null, "one of three decides nothing");
        Assert.That(east.Formation.Obstacle, Does.Contain("emptied or replaced").And.Contain("silent: south"));
        _ = east.Dial(south);
        JoinDecision decision = east.Formation.Joining!;
        Assert.That((decision.ClusterId, decision.Id), Is.EqualTo((west.ClusterId, InitialConfiguration.RejoinIdOf("t", "east", 999))));
        Assert.That(ConfigurationCodec.Encode(decision.Base), Is.EqualTo(ConfigurationCodec.Encode(west.Formed!)), "its log begins where all logs begin");
        east.Join();
        Assert.That(east.Dial(west).Verdict, Is.EqualTo(HelloVerdict.Accepted));
        Member newcomer = west.Formation.Newcomers.Single();
        Assert.That((newcomer.Id, newcomer.Incarnation, newcomer.Name, newcomer.PeerUrls[0]), Is.EqualTo((east.Id, 999UL, "east", "http://h1:1")));
        Assert.That(west.Formation.Targets.Select(t => t.Id), Does.Contain(east.Id).And.Contain(old), "it gets lanes before it is a member");
    }

    /// <summary>N2: what a newcomer's certificate must be good for is what the configuration says of the name, and not what a guest says of himself.</summary>
    [Test]
    public void Where_a_name_is_at_home_is_the_configurations_word()
    {
        east.Empty(999);
        _ = east.Dial(west);
        _ = east.Dial(south);
        east.Join();
        Assert.That(east.Dial(west).Verdict, Is.EqualTo(HelloVerdict.Accepted));
        Assert.That(west.Formation.UrlsOf("east"), Is.EqualTo((string[])["http://h1:1"]));
        Assert.That(west.Formation.UrlsOf("west"), Is.EqualTo((string[])["http://h2:1"]), "its own name, too");
        Assert.That(west.Formation.UrlsOf("nobody"), Is.Empty);
    }

    /// <summary>E4: until the joint configuration is left its voice is needed as much as that of whoever takes its place, be it to elect who leaves it.</summary>
    [Test]
    public void A_voter_that_leaves_stays_in_touch_until_the_joint_configuration_is_left()
    {
        Configuration before = west.Formed!;
        Configuration joint = ConfigurationChange.Towards(before, before with
        {
            Members = [.. before.Members.Where(m => m.Id != east.Id).Append(before.Find(east.Id)! with { Id = new MemberId(ulong.MaxValue), Incarnation = 77 }).OrderBy(m => m.Id)],
        })!;
        west.Adopt(5, joint);
        Assert.That(east.Dial(west).Verdict, Is.EqualTo(HelloVerdict.Accepted));
        Assert.That(west.Formation.Targets.Select(t => t.Id), Does.Contain(east.Id).And.Contain(new MemberId(ulong.MaxValue)));
        east.Adopt(5, joint);
        Assert.That(east.Dial(west).Verdict, Is.EqualTo(HelloVerdict.Accepted), "it knows the joint configuration, too");
        west.Adopt(6, ConfigurationChange.Left(joint));
        Assert.That(east.Dial(west).Verdict, Is.EqualTo(HelloVerdict.Removed));
        Assert.That(west.Formation.Targets.Select(t => t.Id), Has.No.Member(east.Id));
    }

    [Test]
    public void A_quorum_without_a_leader_is_not_joined()
    {
        west.Formation.Report(MemberId.None, 10);
        south.Formation.Report(MemberId.None, 10);
        east.Empty(999);
        _ = east.Dial(west);
        _ = east.Dial(south);
        Assert.That(east.Formation.Joining, Is.Null);
        Assert.That(east.Formation.Obstacle, Does.Contain("they have a leader"));
    }

    /// <summary>Before the answer comes, it is dialled, as the member that it was: that tells it as much.</summary>
    [Test]
    public void It_learns_of_the_cluster_also_by_being_dialled()
    {
        east.Empty(999);
        _ = west.Dial(east);
        _ = south.Dial(east);
        Assert.That(east.Formation.Joining, Is.Not.Null);
    }

    [Test]
    public void While_the_old_directory_is_heard_anywhere_another_one_is_refused()
    {
        south.Up = east.Id;
        FormingMember second = Node("east", 999);
        _ = second.Dial(west);
        HelloAnswer answer = second.Dial(south);
        Assert.That((answer.Verdict, second.Formation.Joining), Is.EqualTo((HelloVerdict.AlreadyRunning, (JoinDecision?)null)));
        Assert.That(second.Formation.Obstacle, Does.Contain("east is already running at http://h1:1"));
        south.Up = MemberId.None;
        _ = second.Dial(south);
        second.Join();
        south.Up = east.Id;
        Assert.That(second.Dial(south).Reason, Does.Contain("east is already running at http://h1:1"), "it is back, and the newcomer waits");
        Assert.That(second.Dial(east).Reason, Does.Contain("east is already running"), "the old one itself says so");
    }

    [Test]
    public void Of_two_newcomers_under_one_name_the_first_stays()
    {
        FormingMember first = Newcomer(999);
        _ = first.Dial(west);
        west.Up = first.Id;
        FormingMember second = Newcomer(888);
        Assert.That(second.Dial(west).Verdict, Is.EqualTo(HelloVerdict.AlreadyRunning));
        west.Up = MemberId.None;
        Assert.That(second.Dial(west).Verdict, Is.EqualTo(HelloVerdict.Accepted));
        Assert.That(west.Formation.Newcomers.Single().Id, Is.EqualTo(second.Id));
    }

    [Test]
    public void The_cluster_dials_the_old_id_and_finds_the_newcomer_at_its_address()
    {
        FormingMember newcomer = Newcomer(999);
        HelloAnswer answer = newcomer.Formation.Judge(west.Formation.Hello(east.Id, LaneKind.Control), out _);
        HelloAnswer outcome = west.Formation.Answered(east.Id, answer);
        Assert.That((outcome.Verdict, west.Formation.Obstacle), Is.EqualTo((HelloVerdict.Unavailable, (string?)null)), "nothing is wrong here");
        Assert.That(west.Formation.Newcomers.Single().Id, Is.EqualTo(newcomer.Id));
    }

    [Test]
    public void Once_it_is_in_the_place_the_old_directory_is_out_of_date()
    {
        FormingMember newcomer = Newcomer(999);
        _ = newcomer.Dial(west);
        Configuration replaced = Replaced(newcomer);
        west.Adopt(5, replaced);
        newcomer.Adopt(5, replaced);
        Assert.That(west.Formation.Newcomers, Is.Empty);
        Assert.That(newcomer.Dial(west).Verdict, Is.EqualTo(HelloVerdict.Accepted));
        HelloAnswer answer = east.Dial(west);
        Assert.That((answer.Verdict, east.Formation.Accusation), Is.EqualTo((HelloVerdict.Removed, answer.Reason)));
        Assert.That(answer.Reason, Does.Contain($"the cluster has replaced east ({east.Id}) by {newcomer.Id}"));
    }

    /// <summary>south has not heard yet that east was replaced, and its leader is the replaced one.</summary>
    [Test]
    public void Who_belongs_to_a_later_configuration_is_let_in()
    {
        FormingMember newcomer = Newcomer(999);
        newcomer.Adopt(5, Replaced(newcomer));
        south.Up = east.Id;
        Assert.That(newcomer.Dial(south).Verdict, Is.EqualTo(HelloVerdict.Accepted));
        Assert.That(south.Formation.Targets.Select(t => t.Id), Does.Contain(newcomer.Id));
        Assert.That(south.Formation.Newcomers, Is.Empty, "it is a member, only not here yet");
    }

    [Test]
    public void An_old_copy_is_told_that_it_has_forgotten()
    {
        FormingMember copy = east.Copy();
        east.Boot();
        _ = east.Dial(west);
        copy.Boot();
        HelloAnswer answer = copy.Dial(west);
        Assert.That((answer.Verdict, copy.Formation.Accusation), Is.EqualTo((HelloVerdict.Forgot, answer.Reason)));
        Assert.That(answer.Reason, Does.Contain("east has forgotten what it promised").And.Contain("it is an old copy"));
        Assert.That(west.Dial(copy).Verdict, Is.EqualTo(HelloVerdict.Forgot), "whoever dials");
    }

    /// <summary>Nobody who knew better was there while the copy was started: its counter is ahead when it meets the first.</summary>
    [Test]
    public void An_old_copy_that_was_started_often_is_told_so_as_well()
    {
        FormingMember copy = east.Copy();
        east.Boot();
        _ = east.Dial(west);
        west.Boot();
        for (int start = 0; start < 4; start++) copy.Boot();
        Assert.That(copy.Starts, Is.GreaterThan(east.Starts));
        HelloAnswer answer = copy.Dial(west);
        Assert.That((answer.Verdict, copy.Formation.Accusation), Is.EqualTo((HelloVerdict.Forgot, answer.Reason)));
        Assert.That(answer.Reason, Does.Contain("was not the one that was met here"));
        Assert.That(west.Dial(copy).Verdict, Is.EqualTo(HelloVerdict.Forgot), "whoever dials");
        for (int start = 0; start < 4; start++) east.Boot();
        Assert.That(east.Dial(west).Verdict, Is.EqualTo(HelloVerdict.Accepted), "the directory itself may be started as often");
    }

    [Test]
    public void The_memory_of_starts_survives_the_process()
    {
        FormingMember copy = east.Copy();
        east.Boot();
        _ = east.Dial(west);
        west.Boot();
        copy.Boot();
        Assert.That(copy.Dial(west).Verdict, Is.EqualTo(HelloVerdict.Forgot));
    }

    [Test]
    public void A_log_that_lost_its_end_is_told_so()
    {
        _ = east.Dial(west);
        west.Formation.Acknowledged(east.Id, 50);
        east.LastIndex = 49;
        east.Boot();
        Assert.That(east.Dial(west).Reason, Does.Contain("its log ends at entry 49, and it had acknowledged entry 50"));
        east.LastIndex = 50;
        east.Boot();
        Assert.That(east.Dial(west).Verdict, Is.EqualTo(HelloVerdict.Accepted));
    }

    /// <summary>What is left of a formed member's directory, and empty ones, must not become a cluster without what it held.</summary>
    [Test]
    public void A_damaged_directory_takes_no_part_in_forming_a_cluster()
    {
        (FormingMember a, FormingMember b, FormingMember c) = (Node("east", 11), Node("west", 12), Node("south", 13));
        a.Seeking = true;
        a.Boot();
        FormingMember.Meet(a, b, c);
        Assert.That((a.Proposal, b.Proposal, c.Proposal), Is.EqualTo(((Configuration?)null, (Configuration?)null, (Configuration?)null)));
        Assert.That(new[] { a, b, c }.Select(m => m.ClusterId), Is.All.Zero);
    }

    [Test]
    public void A_damaged_directory_joins_under_a_new_id_though_its_own_was_pinned()
    {
        east.Empty(1);
        east.Seeking = true;
        east.Boot();
        Assert.That(east.Dial(west).Verdict, Is.EqualTo(HelloVerdict.Unpinned), "the incarnation of the old one does not help it");
        _ = east.Dial(south);
        Assert.That(east.Formation.Joining!.Id, Is.EqualTo(InitialConfiguration.RejoinIdOf("t", "east", 1)));
    }

    [Test]
    public void A_member_that_was_removed_and_a_stranger_are_told_so()
    {
        west.Adopt(5, west.Formed! with { Members = [.. west.Formed!.Members.Where(m => m.Name != "east")] });
        Assert.That(east.Dial(west).Reason, Does.Contain("is not a member of this cluster any more"));
        FormingMember emptied = Node("east", 999);
        Assert.That(emptied.Dial(west).Verdict, Is.EqualTo(HelloVerdict.WrongMember));
        _ = emptied.Dial(south);
        Assert.That(emptied.Formation.Joining, Is.Null);
    }

    private FormingMember Newcomer(ulong incarnation)
    {
        FormingMember newcomer = Node("east", incarnation);
        _ = newcomer.Dial(west);
        _ = newcomer.Dial(south);
        if (newcomer.Formation.Joining is null)
        {
            // Another newcomer is up: it had decided before that one came.
            (MemberId up, west.Up) = (west.Up, MemberId.None);
            _ = newcomer.Dial(west);
            west.Up = up;
        }
        newcomer.Join();
        return newcomer;
    }

    private Configuration Replaced(FormingMember newcomer) => west.Formed! with
    {
        Members = [.. west.Formed!.Members.Select(m => m.Name == "east" ? m with { Id = newcomer.Id, Incarnation = newcomer.Incarnation } : m).OrderBy(m => m.Id)],
    };

    private static FormingMember Node(string name, ulong incarnation) => new(name, incarnation, Three);
}
