using Loom.Raft.Consensus;
using Loom.Raft.Membership;
using Loom.Raft.Replica;
using Loom.Raft.Snapshots;

namespace Loom.Raft;

/// <summary>What a snapshot says of itself (<see cref="RaftSnapshot.Manifest"/>), read back.</summary>
public sealed record RaftSnapshotDescription
{
    /// <summary>Length of the longest manifest that is read.</summary>
    public const int MaxManifestBytes = SnapshotManifestCodec.MaxBytes;

    /// <summary>Drawn at the capture: two captures never have the same.</summary>
    public required ulong Id { get; init; }

    /// <summary>Of which cluster.</summary>
    public required ulong ClusterId { get; init; }

    /// <summary>The member that captured it.</summary>
    public required MemberId Source { get; init; }

    /// <summary>The last entry in it, and Raft's section.</summary>
    public required StatePosition At { get; init; }

    /// <summary>The members at that entry.</summary>
    public required Configuration Configuration { get; init; }

    /// <summary>The application's header (<see cref="IStateSnapshot.Header"/>).</summary>
    public required ReadOnlyMemory<byte> Header { get; init; }

    /// <summary>Reads a manifest.</summary>
    /// <exception cref="RaftException">Corruption: damaged. CannotOpen: of a version that this build does not know.</exception>
    public static RaftSnapshotDescription Decode(ReadOnlySpan<byte> manifest)
    {
        try
        {
            SnapshotManifest decoded = SnapshotManifestCodec.Decode(manifest);
            return new RaftSnapshotDescription
            {
                Id = decoded.Id,
                ClusterId = decoded.ClusterId,
                Source = decoded.Source,
                At = decoded.At,
                Configuration = decoded.Configuration.Configuration,
                Header = decoded.Header,
            };
        }
        catch (InvalidDataException e)
        {
            throw new RaftException(
                SnapshotManifestCodec.IsOfOtherVersion(manifest) ? RaftErrorCode.CannotOpen : RaftErrorCode.Corruption, $"The snapshot cannot be read: {e.Message}.", inner: e);
        }
    }
}
