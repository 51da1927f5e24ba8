using Loom.Raft.Proposals;
using Loom.Raft.Replica;

namespace Loom.Raft.Sessions;

/// <summary>
/// Which proposals were already applied (P1, P2): replicated state beside the application's, fed with every committed entry in order, the same on every replica.
/// Use, per committed entry: <see cref="Advance"/> with its cluster time, then <see cref="Open"/> for an OpenSession entry or <see cref="Decide"/> for a Command;
/// after the batch was applied, <see cref="Record"/> for each that was to Apply. How entries are cut into batches changes nothing.
/// </summary>
internal sealed class SessionTable
{
    /// <summary>Ends the sessions that were unused for an hour of cluster time (P2). For every entry, whatever its kind.</summary>
    public void Advance(long clusterTime) => throw new NotSupportedException();

    /// <summary>Opens the session whose id is <paramref name="index"/>, and ends the one unused longest if there are too many.</summary>
    public void Open(long index, long clusterTime, in SessionOwner owner) => throw new NotSupportedException();

    /// <summary>Decides about a proposal; raises the floor of its session.</summary>
    public SessionDecision Decide(long index, long clusterTime, ProposalId id, long floor) => throw new NotSupportedException();

    /// <summary>Keeps the outcome of a proposal whose verdict was Apply.</summary>
    public void Record(ProposalId id, in Outcome outcome) => throw new NotSupportedException();

    /// <summary>P3, after a snapshot install: Repeat with its outcome, StaleSequence, SessionExpired; null when absent (keep waiting).</summary>
    public SessionDecision? Find(ProposalId id) => throw new NotSupportedException();

    /// <summary>The session that this owner opened, or 0.</summary>
    public long FindSession(in SessionOwner owner) => throw new NotSupportedException();

    /// <summary>Canonical bytes, for snapshots.</summary>
    public byte[] Serialize() => throw new NotSupportedException();

    /// <summary>Replaces the content by <see cref="Serialize"/>d bytes.</summary>
    public void Deserialize(ReadOnlySpan<byte> bytes) => throw new NotSupportedException();

    /// <summary>128-bit hash of the canonical bytes.</summary>
    public UInt128 Hash() => throw new NotSupportedException();
}
