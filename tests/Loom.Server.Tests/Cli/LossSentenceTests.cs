using Loom.Server.Cli;
using Loom.Server.Hosting.Protos;

namespace Loom.Server.Tests.Cli;

/// <summary>While voters are silent, status must not promise what only the whole configuration can lose.</summary>
internal sealed class LossSentenceTests
{
    private static ulong next;
    private const string Placement = "You can lose any one datacenter.";
    private static readonly ClusterMember East = Voter("east1", "east");
    private static readonly ClusterMember East2 = Voter("east2", "east");
    private static readonly ClusterMember West = Voter("west1", "west");
    private static readonly ClusterMember West2 = Voter("west2", "west");
    private static readonly ClusterMember South = Voter("south1", "south");
    private static readonly ClusterMember Standby = new() { Id = 99, Name = "south2", Datacenter = "south", Role = "standby" };

    [Test]
    public void With_all_voters_there_it_is_the_placement() =>
        Assert.That(LossSentence.Of([East, West, South, Standby], [], Placement, "majority"), Is.EqualTo(Placement));

    [Test]
    public void A_silent_voter_of_three_leaves_nothing_to_lose() =>
        Assert.That(LossSentence.Of([East, West, South, Standby], [West], Placement, "majority"), Is.EqualTo(
            "Now west1 does not answer: no further voter may be lost before writes stop. With all members well: You can lose any one datacenter."));

    [TestCase("majority", 1)]
    [TestCase("two-datacenters", 1)]
    public void A_silent_voter_of_five_leaves_one(string goal, int further) =>
        Assert.That(LossSentence.Further([East, East2, West, West2, South], [South], goal), Is.EqualTo(further));

    [TestCase("majority", 1)]
    [TestCase("two-datacenters", 0)]
    public void A_goal_of_two_datacenters_counts_what_would_leave_one_alone(string goal, int further)
    {
        ClusterMember east3 = Voter("east3", "east");
        Assert.That(LossSentence.Further([East, East2, east3, West, South], [South], goal), Is.EqualTo(further));
    }

    private static ClusterMember Voter(string name, string datacenter) => new() { Id = ++next, Name = name, Datacenter = datacenter, Role = "voter" };
}
