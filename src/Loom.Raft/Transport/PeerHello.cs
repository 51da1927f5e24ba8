using Loom.Raft.Consensus;
using Loom.Raft.Membership;

namespace Loom.Raft.Transport;

/// <summary>
/// How one side of a lane presents itself (N2, N5). It carries what formation needs to know of a member, so that no other protocol is needed before the first election.
/// </summary>
internal sealed record PeerHello
{
    /// <summary>First byte of an encoded hello. Frames keep their own version: a member that meets another hello can say so by name.</summary>
    private const byte Version = 5;

    // A peer's claim ends up in the codec of configurations, which counts URLs in a byte.
    private const int MaxUrls = 255;

    public required LaneKind Lane { get; init; }

    /// <summary>Keeps clusters apart before they have an id.</summary>
    public required ulong TokenHash { get; init; }

    /// <summary>Zero: this side has not formed yet.</summary>
    public required ulong ClusterId { get; init; }

    /// <summary>Not formed: id of the cluster that the sender has agreed to form, which is on its disk; <see cref="Initial"/> holds the incarnations. Zero: none, or formed.</summary>
    public required ulong Proposal { get; init; }

    public required MemberId From { get; init; }

    /// <summary>Whom the sender believes to stand at this address.</summary>
    public required MemberId To { get; init; }

    public required ulong Incarnation { get; init; }

    /// <summary>Random number of the sender's process: two processes with copies of one directory have the same incarnation.</summary>
    public required ulong Process { get; init; }

    public required string Name { get; init; }

    public required string Datacenter { get; init; }

    public required MemberRole Role { get; init; }

    public required IReadOnlyList<string> PeerUrls { get; init; }

    public required IReadOnlyList<string> ClientUrls { get; init; }

    /// <summary>Hash of the initial members and goal, without incarnations: sides whose lists differ refuse each other.</summary>
    public required ulong ConfigurationHash { get; init; }

    /// <summary>The incarnation that the sender's configuration, or its proposal, pins for <see cref="To"/>; zero: none.</summary>
    public required ulong PinnedForYou { get; init; }

    /// <summary>Forming: the members as listed, of the proposal where there is one. Formed: those at the base of the log; of record 0, voters with their incarnations.</summary>
    public required IReadOnlyList<Member> Initial { get; init; }

    /// <summary>The backup that the sender's cluster begins from, or that its directory was restored from; zero: none.</summary>
    public ulong Origin { get; init; }

    /// <summary>Not formed, and it must take no part in forming a cluster: its directory was of one, and is damaged or out of date (E1).</summary>
    public bool Seeking { get; init; }

    /// <summary>Formed: how often the sender's directory was started (E1).</summary>
    public ulong Starts { get; init; }

    /// <summary>Formed: <see cref="Process"/> of the starts before this one, the latest first; bounded (<see cref="StartCount.MaxEarlier"/>).</summary>
    public IReadOnlyList<ulong> Earlier { get; init; } = [];

    /// <summary>Formed: the last index of the sender's log (E1).</summary>
    public long LastIndex { get; init; }

    /// <summary>Formed: index of the newest configuration that the sender knows to be committed, if that holds the sender; -1: it is in none yet.</summary>
    public long ConfigurationIndex { get; init; } = -1;

    /// <summary>Formed: the leader that the sender follows or is, with a quorum; none: it knows of none.</summary>
    public MemberId Leader { get; init; }

    /// <summary>Formed: the configuration in force at the sender; null: not formed.</summary>
    public Configuration? Current { get; init; }

    public void Encode(WireWriter writer)
    {
        writer.Byte(Version);
        writer.Byte((byte)Lane);
        writer.UInt64(TokenHash);
        writer.UInt64(ClusterId);
        writer.UInt64(Proposal);
        writer.UInt64(From.Value);
        writer.UInt64(To.Value);
        writer.UInt64(Incarnation);
        writer.UInt64(Process);
        writer.Text(Name);
        writer.Text(Datacenter);
        writer.Byte((byte)Role);
        writer.Texts(PeerUrls);
        writer.Texts(ClientUrls);
        writer.UInt64(ConfigurationHash);
        writer.UInt64(PinnedForYou);
        writer.UInt32((uint)Initial.Count);
        foreach (Member member in Initial)
        {
            writer.UInt64(member.Id.Value);
            writer.UInt64(member.Incarnation);
            writer.Text(member.Name);
            writer.Text(member.Datacenter);
            writer.Byte((byte)member.Role);
            writer.Texts(member.PeerUrls);
        }
        writer.UInt64(Origin);
        writer.Byte((byte)(Seeking ? 1 : 0));
        writer.UInt64(Starts);
        writer.UInt32((uint)Earlier.Count);
        foreach (ulong process in Earlier) writer.UInt64(process);
        writer.Int64(LastIndex);
        writer.Int64(ConfigurationIndex);
        writer.UInt64(Leader.Value);
        writer.Blob(Current is null ? [] : ConfigurationCodec.Encode(Current));
    }

    /// <exception cref="WireException">Not a hello of this version, or one that no member sends.</exception>
    public static PeerHello Decode(ref WireReader reader)
    {
        byte version = reader.Byte();
        if (version != Version) throw new WireException($"a hello of version {version}, this member speaks {Version}; run the same version of Loom on all members");
        return new PeerHello
        {
            Lane = (LaneKind)reader.Byte(),
            TokenHash = reader.UInt64(),
            ClusterId = reader.UInt64(),
            Proposal = reader.UInt64(),
            From = new MemberId(reader.UInt64()),
            To = new MemberId(reader.UInt64()),
            Incarnation = reader.UInt64(),
            Process = reader.UInt64(),
            Name = reader.Text(),
            Datacenter = reader.Text(),
            Role = (MemberRole)reader.Byte(),
            PeerUrls = Urls(ref reader),
            ClientUrls = Urls(ref reader),
            ConfigurationHash = reader.UInt64(),
            PinnedForYou = reader.UInt64(),
            Initial = DecodeMembers(ref reader),
            Origin = reader.UInt64(),
            Seeking = reader.Byte() != 0,
            Starts = reader.UInt64(),
            Earlier = DecodeEarlier(ref reader),
            LastIndex = reader.Int64(),
            ConfigurationIndex = reader.Int64(),
            Leader = new MemberId(reader.UInt64()),
            Current = DecodeConfiguration(reader.Blob()),
        };
    }

    private static ulong[] DecodeEarlier(ref WireReader reader)
    {
        ulong[] earlier = new ulong[reader.Count(8)];
        if (earlier.Length > StartCount.MaxEarlier) throw new WireException($"a hello names {earlier.Length} earlier processes, at most {StartCount.MaxEarlier} are allowed");
        for (int i = 0; i < earlier.Length; i++) earlier[i] = reader.UInt64();
        return earlier;
    }

    private static Configuration? DecodeConfiguration(ReadOnlySpan<byte> bytes)
    {
        if (bytes.IsEmpty) return null;
        try
        {
            return ConfigurationCodec.Decode(bytes);
        }
        catch (InvalidDataException e)
        {
            throw new WireException(e.Message);
        }
    }

    private static Member[] DecodeMembers(ref WireReader reader)
    {
        var members = new Member[reader.Count(8 + 8 + 4 + 4 + 1 + 4)];
        MemberId previous = MemberId.None;
        for (int i = 0; i < members.Length; i++)
        {
            var id = new MemberId(reader.UInt64());
            if (id <= previous) throw new WireException($"members of a hello must be sorted by id, without repeats: {id} follows {previous}");
            previous = id;
            members[i] = new Member(id, reader.UInt64(), reader.Text(), reader.Text(), (MemberRole)reader.Byte(), Urls(ref reader), []);
        }
        return members;
    }

    private static string[] Urls(ref WireReader reader)
    {
        string[] urls = reader.Texts();
        return urls.Length <= MaxUrls ? urls : throw new WireException($"{urls.Length} URLs of one member, at most {MaxUrls} are allowed");
    }
}

/// <summary>Why a lane was refused; the text says it in words. Values are on the wire: never renumber.</summary>
internal enum HelloVerdict : byte
{
    Accepted = 1,

    /// <summary>Another cluster's token or id.</summary>
    WrongCluster = 2,

    /// <summary>Not the member that stands here, or one that is not listed.</summary>
    WrongMember = 3,

    /// <summary>The two sides list the members differently.</summary>
    ConfigurationDiffers = 4,

    /// <summary>The cluster knows this name with another data directory (E1), and that one is heard.</summary>
    AlreadyRunning = 5,

    /// <summary>The cluster knows this name with another data directory (E1): this one was emptied or replaced, and joins as a new member.</summary>
    Unpinned = 6,

    /// <summary>This side speaks no such lane, or is closing.</summary>
    Unavailable = 7,

    /// <summary>All is well, but one of the two has not formed yet: they know each other now, and a lane comes once both are formed.</summary>
    Forming = 8,

    /// <summary>The directory is an older copy, or lost the end of its log: it has forgotten what it promised (E1).</summary>
    Forgot = 9,

    /// <summary>The configuration does not hold this member any more (E1).</summary>
    Removed = 10,

    /// <summary>The two sides were not restored from one backup.</summary>
    OriginDiffers = 11,
}

/// <summary>The answer to a hello; who refuses says why, and the other side logs it.</summary>
internal sealed record HelloAnswer(HelloVerdict Verdict, string Reason, PeerHello Self);

/// <summary>Who may connect: asked on the transport's threads, so implementations lock. Implemented by Membership/ClusterFormation.</summary>
internal interface IPeerGate
{
    /// <summary>How this member presents itself to a peer.</summary>
    PeerHello Hello(MemberId to, LaneKind lane);

    /// <summary>Where the members of this name are, as this member's configurations have it; empty: none has it. Asked before anything is believed of a hello (N2).</summary>
    IReadOnlyList<string> UrlsOf(string name);

    /// <summary>Judges who dialled us. <paramref name="news"/>: it said what we had not heard, so dialling it back is worth while at once.</summary>
    HelloAnswer Judge(PeerHello hello, out bool news);

    /// <summary>Learns what a peer that we dialled answered. The verdict of both sides together: anything but Accepted and the connection is closed.</summary>
    HelloAnswer Answered(MemberId peer, HelloAnswer answer);
}
