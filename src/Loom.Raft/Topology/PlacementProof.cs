using Loom.Raft.Consensus;
using Loom.Raft.Membership;

namespace Loom.Raft.Topology;

/// <summary>
/// What may be lost of a configuration while it still elects and commits (E5), shown by trying every loss. The first question of the placement proof:
/// no member is dead yet. Standbys and learners may always be lost: they do not count.
/// </summary>
/// <param name="AnyMembers">Any so many members may be lost, wherever they stand.</param>
/// <param name="AnyDatacenters">Any so many whole datacenters may be lost.</param>
/// <param name="FurtherMembers">After the loss of any <paramref name="AnyDatacenters"/> datacenters, any so many further members may be lost.</param>
/// <param name="FatalMembers">The counter-example: a smallest set of members without which nothing can be committed, sorted by id.</param>
/// <param name="FatalDatacenters">The same by datacenter, sorted by name.</param>
/// <param name="Sentence">The result in one sentence for people.</param>
internal sealed record PlacementProof(
    int AnyMembers, int AnyDatacenters, int FurtherMembers, IReadOnlyList<MemberId> FatalMembers, IReadOnlyList<string> FatalDatacenters, string Sentence)
{
    public static PlacementProof Of(Configuration configuration)
    {
        var losses = new LossSearch(configuration);
        (int members, ulong fatal) = losses.AnyMembers(lostAlready: 0);
        (int datacenters, ulong fatalDatacenters) = losses.AnyDatacenters();
        int further = datacenters == 0 ? 0 : losses.AnyMembersAfterDatacenters(datacenters);
        MemberId[] fatalMembers = losses.MembersOf(fatal);
        string[] fatalNames = losses.DatacentersOf(fatalDatacenters);
        string sentence = new PlacementSentence(configuration, members, datacenters, further, fatalMembers, fatalNames).ToString();
        return new PlacementProof(members, datacenters, further, fatalMembers, fatalNames, sentence);
    }
}
