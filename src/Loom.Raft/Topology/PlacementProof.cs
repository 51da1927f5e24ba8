using Loom.Raft.Consensus;
using Loom.Raft.Membership;

namespace Loom.Raft.Topology;

/// <summary>What may be lost of a configuration while it goes on committing writes (DESIGN section 1, promise 4), shown by trying every loss.</summary>
/// <param name="Members">Any so many members may be lost, wherever they stand.</param>
/// <param name="Datacenters">Any so many whole datacenters may be lost.</param>
/// <param name="MembersBesideDatacenters">After any <paramref name="Datacenters"/> datacenters, any so many further members may be lost.</param>
/// <param name="CounterExample">A smallest loss that stops the cluster, sorted by id.</param>
/// <param name="Sentence">The result in one sentence for people.</param>
internal sealed record PlacementProof(int Members, int Datacenters, int MembersBesideDatacenters, IReadOnlyList<MemberId> CounterExample, string Sentence)
{
    public static PlacementProof Of(Configuration configuration) => throw new NotSupportedException(configuration.ToString());
}
