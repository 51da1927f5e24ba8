using Loom.Raft.Consensus;
using Loom.Raft.Membership;
using Loom.Raft.Proposals;

namespace Loom.Raft.Transport;

/// <summary>Times and bounds of the lanes. Nanoseconds and bytes.</summary>
internal sealed record LaneSettings
{
    /// <summary>A ping travels this often on each control lane, whatever else does: round-trip time, failure detector, and proof that both directions live.</summary>
    public long PingInterval { get; init; } = 500_000_000;

    /// <summary>A connection that says nothing for so long is closed (four pings).</summary>
    public long SilenceLimit { get; init; } = 2_500_000_000;

    /// <summary>Connect and handshake, each.</summary>
    public long HandshakeLimit { get; init; } = 2_000_000_000;

    public long BackOffFirst { get; init; } = 10_000_000;

    public long BackOffMost { get; init; } = 500_000_000;

    /// <summary>Waiting messages of one lane (P5): twice what one peer may have in flight.</summary>
    public long QueueBytes { get; init; } = 8 * 1024 * 1024;

    /// <summary>Largest message that chunks may add up to: the largest proposal with room for its envelope, or an append of many.</summary>
    public int MaxMessageBytes { get; init; } = 4 * 1024 * 1024;

    /// <summary>Connections whose handshake is not done (<see cref="UnfinishedHandshakes{T}"/>).</summary>
    public int MaxPendingHandshakes { get; init; } = 32;

    /// <summary>A bulk lane on which the other side neither sends nor takes anything for so long is closed: longer than a capture or a cold read may take, for nobody pings there.</summary>
    public long BulkSilenceLimit { get; init; } = 20_000_000_000;

    /// <summary>Received frames held by <c>--test-peer-delay</c>; beyond, the socket is not read.</summary>
    public long MaxDelayedBytes { get; init; } = 64 * 1024 * 1024;

    /// <summary>Forward lanes carry no failure detector: they ping less.</summary>
    public const int ForwardFactor = 4;

    public long PingIntervalOf(LaneKind lane) => lane == LaneKind.Control ? PingInterval : PingInterval * ForwardFactor;

    public long SilenceLimitOf(LaneKind lane) => lane == LaneKind.Control ? SilenceLimit : SilenceLimit * ForwardFactor;

    public static LaneSettings For(TimeSpan heartbeat, TimeSpan electionTimeout, int maxProposalBytes)
    {
        long ping = Math.Max(heartbeat.Ticks, electionTimeout.Ticks / 2) * 100;
        return new LaneSettings
        {
            PingInterval = ping,
            SilenceLimit = ping * 5,
            HandshakeLimit = Math.Max(2_000_000_000, electionTimeout.Ticks * 100),
            MaxMessageBytes = Math.Max(4 * 1024 * 1024, maxProposalBytes + 256 * 1024),
            QueueBytes = Math.Max(8 * 1024 * 1024, 2L * maxProposalBytes),
        };
    }
}

/// <summary>A peer as the transport needs it.</summary>
internal sealed record PeerTarget(MemberId Id, string Name, string Datacenter, IReadOnlyList<string> Urls)
{
    public static PeerTarget Of(Member member) => new(member.Id, member.Name, member.Datacenter, member.PeerUrls);

    /// <summary>The same member at the same place.</summary>
    public bool IsSame(PeerTarget other) => Id == other.Id && Name == other.Name && Datacenter == other.Datacenter && Urls.SequenceEqual(other.Urls);
}

/// <summary>What the transport tells its owner, on the transport's own threads: receivers block here when the owner's inbox is full, which is the back-pressure TCP passes on.</summary>
internal interface IPeerEvents
{
    void Received(Message message, int bytes);

    void Received(ForwardMessage message, int bytes);

    /// <summary>A chunk of a long message arrived (P5).</summary>
    void Heard(MemberId peer);

    /// <summary>The connection broke and the port refuses (E2).</summary>
    void ProcessDied(MemberId peer);

    /// <summary>Both directions of a lane are usable, or no longer.</summary>
    void LaneChanged(MemberId peer, LaneKind lane, bool up);

    /// <summary>A peer dialled a bulk lane: it wants a snapshot. The thread is the connection's own, and belongs to the owner until this returns.</summary>
    void Serve(BulkConnection connection);

    /// <summary>A thread of the transport failed for a reason of ours, not the network's.</summary>
    void Failed(Exception error);
}
