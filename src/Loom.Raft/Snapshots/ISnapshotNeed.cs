using Loom.Raft.Consensus;
using Loom.Raft.Replica;
using Loom.Raft.Transport;

namespace Loom.Raft.Snapshots;

/// <summary>What a <see cref="SnapshotFetcher"/> needs of its replica: called on the fetcher's thread, except <see cref="HangUp"/>.</summary>
internal interface ISnapshotNeed
{
    /// <summary>The cluster whose snapshot it must be.</summary>
    ulong ClusterId { get; }

    /// <summary>The other members, as they are now.</summary>
    IReadOnlyList<SourceCandidate> Candidates();

    /// <summary>Dials a bulk lane.</summary>
    /// <exception cref="IOException">Refused.</exception>
    /// <exception cref="System.Net.Sockets.SocketException">Unreachable.</exception>
    BulkConnection Dial(MemberId source);

    /// <summary>Ends the connection that is dialled or used, from any thread.</summary>
    void HangUp();

    /// <summary>Begins to collect beside the present state.</summary>
    IStateInstallation BeginInstall(SnapshotManifest manifest);

    /// <summary>All of it is here, verified and durable. The installation is the replica's from now on; <see cref="SnapshotFetcher.Settled"/> says that it is done with it.</summary>
    void Collected(SnapshotManifest manifest, IStateInstallation installation);
}
