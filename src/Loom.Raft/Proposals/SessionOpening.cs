using System.Buffers.Binary;
using Loom.Raft.Consensus;
using Loom.Raft.Replica;
using Loom.Raft.Sessions;

namespace Loom.Raft.Proposals;

/// <summary>
/// The session of this process (P1, P2): opened through the log by an entry that carries our nonce, and again when it ended.
/// A repeat of that entry opens one more session, which nobody uses and which expires.
/// </summary>
internal sealed class SessionOpening(ReplicaOptions options, ulong firstNonce)
{
    private ulong nonce = firstNonce;

    /// <summary>Its id, or 0.</summary>
    public long Session { get; private set; }

    /// <summary>The opening entry on its way, or null.</summary>
    public Pending? Pending { get; private set; }

    /// <summary>The opening entry to send, or null when one is on its way.</summary>
    public Pending? Begin()
    {
        if (Pending is not null)
        {
            return null;
        }

        var member = new byte[Envelope.OpenSessionPayloadBytes];
        BinaryPrimitives.WriteUInt64LittleEndian(member, options.Id.Value);
        nonce = unchecked((nonce * 6364136223846793005UL) + 1442695040888963407UL);
        var id = new ProposalId(0, (long)nonce);
        Pending = new Pending
        {
            Kind = EntryKind.OpenSession,
            Payload = member,
            Id = id,
            Body = Envelope.Encode(EntryKind.OpenSession, id, (long)options.Incarnation, member),
        };
        return Pending;
    }

    /// <summary>By whom the session on its way will have been opened.</summary>
    public SessionOwner? Owner => Pending is null ? null : new SessionOwner(options.Id, options.Incarnation, (ulong)Pending.Id.Sequence);

    /// <summary>The session on its way was found open, in a state that was installed. Returns its entry.</summary>
    public Pending Found(long session)
    {
        var ours = Pending!;
        Pending = null;
        Session = session;
        return ours;
    }

    /// <summary>The entry is ours and awaited.</summary>
    public bool IsOurs(in EnvelopeHeader header) =>
        Pending is not null && header.Id == Pending.Id && (ulong)header.Floor == options.Incarnation;

    /// <summary>An opening entry was applied here. Returns ours if it was that, and the session is open.</summary>
    public Pending? Opened(in LocalOutcome outcome)
    {
        if (Pending is null || outcome.Id != Pending.Id)
        {
            return null;
        }

        return Found(outcome.Index);
    }

    public void End() => Session = 0;
}
