using Loom.Raft.Consensus;
using Loom.Raft.Membership;
using Loom.Raft.Threads;
using Loom.Raft.Transport;
using Microsoft.Extensions.Logging.Abstractions;

namespace Loom.Raft.Tests.Membership;

/// <summary>A member in formation, without sockets: its gate, and what it has on disk, which outlives <see cref="Boot"/>. The host's two acts (write, then say) are separate, so that a crash fits between.</summary>
internal sealed class FormingMember
{
    private readonly IReadOnlyList<InitialMember> list;
    private readonly string token;
    private ulong process;

    public FormingMember(string name, ulong incarnation, IReadOnlyList<InitialMember> list, string token = "t")
    {
        Name = name;
        Incarnation = incarnation;
        this.list = list;
        this.token = token;
        Id = InitialConfiguration.IdOf(token, name);
        Boot();
    }

    public string Name { get; }

    public MemberId Id { get; }

    public ulong Incarnation { get; private set; }

    /// <summary>Whose control lane is up here.</summary>
    public MemberId Up { get; set; }

    public ClusterFormation Formation { get; private set; } = null!;

    /// <summary>On disk: the proposal.</summary>
    public Configuration? Proposal { get; private set; }

    /// <summary>On disk: the configuration it has formed with.</summary>
    public Configuration? Formed { get; private set; }

    public ulong ClusterId => Formed is null ? 0 : InitialConfiguration.ClusterId(Formed, token);

    /// <summary>A new process on what the disk holds.</summary>
    public void Boot()
    {
        Configuration initial = Formed ?? (Proposal is null
            ? InitialConfiguration.Of(new RaftNodeOptions { Name = Name, ClusterToken = token, InitialCluster = list })
            : InitialConfiguration.ListOf(Proposal));
        var identity = new MemberIdentity(Id, Incarnation, Name, token, ClusterId, Formed is null ? 0 : InitialConfiguration.ListHash(Formed));
        Formation = new ClusterFormation(
            identity, ++process, initial, initial, Formed is null ? Proposal : null, [$"http://{Name}:2379"], id => id == Up, new Signal(), NullLogger.Instance);
    }

    /// <summary>The disk is replaced by an empty one.</summary>
    public void Empty(ulong incarnation)
    {
        Incarnation = incarnation;
        Proposal = Formed = null;
        Boot();
    }

    /// <summary>First half of a step: to disk. False: nothing to write.</summary>
    public bool Write()
    {
        if (Formed is not null) return false;
        if (Formation.Decided is { } decided) Formed = decided;
        else if (Formation.Wanted is { } wanted) Proposal = wanted;
        else return false;
        return true;
    }

    /// <summary>Second half: what is on disk is said.</summary>
    public void Say()
    {
        if (Formed is not null) Formation.Formed(ClusterId);
        else if (Proposal is not null) Formation.Hold(Proposal);
    }

    public void Settle()
    {
        while (Write()) Say();
    }

    /// <summary>One handshake, as the two sides of a connection do it.</summary>
    public HelloAnswer Dial(FormingMember other)
    {
        HelloAnswer answer = other.Formation.Judge(Formation.Hello(other.Id, LaneKind.Control), out _);
        return Formation.Answered(other.Id, answer);
    }

    /// <summary>Everybody dials everybody and writes what there is to write, until nobody has anything more.</summary>
    public static void Meet(params IReadOnlyList<FormingMember> members)
    {
        for (int round = 0; round < 4; round++)
        {
            foreach (FormingMember from in members)
            {
                foreach (FormingMember to in members.Where(m => m != from)) _ = from.Dial(to);
            }
            foreach (FormingMember member in members) member.Settle();
        }
    }
}
