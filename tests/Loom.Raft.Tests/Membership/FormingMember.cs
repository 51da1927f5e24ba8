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

    public FormingMember(string name, ulong incarnation, IReadOnlyList<InitialMember> list, string token = "t", ulong origin = 0)
    {
        Name = name;
        Origin = origin;
        Incarnation = incarnation;
        this.list = list;
        this.token = token;
        Id = InitialConfiguration.IdOf(token, name);
        Boot();
    }

    public string Name { get; }

    public MemberId Id { get; private set; }

    public ulong Incarnation { get; private set; }

    /// <summary>The backup that its directory was restored from.</summary>
    public ulong Origin { get; private set; }

    /// <summary>Whose control lane is up here.</summary>
    public MemberId Up { get; set; }

    public ClusterFormation Formation { get; private set; } = null!;

    /// <summary>On disk: the proposal.</summary>
    public Configuration? Proposal { get; private set; }

    /// <summary>On disk: the configuration it has formed with.</summary>
    public Configuration? Formed { get; private set; }

    public ulong ClusterId { get; private set; }

    /// <summary>On disk: how often it was started since it formed.</summary>
    public ulong Starts { get; set; }

    /// <summary>On disk: the processes of these starts, the latest first.</summary>
    public IReadOnlyList<ulong> Processes { get; set; } = [];

    /// <summary>On disk: the end of its log.</summary>
    public long LastIndex { get; set; }

    /// <summary>Its directory is damaged: it only asks.</summary>
    public bool Seeking { get; set; }

    /// <summary>On disk: what it remembers of the others.</summary>
    public PeerMemory Memory { get; private set; } = new();

    /// <summary>On disk: the configurations in its log.</summary>
    public IReadOnlyList<ConfigurationAt> Configurations { get; private set; } = [];

    /// <summary>A new process on what the disk holds.</summary>
    public void Boot()
    {
        Configuration list = InitialConfiguration.Of(new RaftNodeOptions { Name = Name, ClusterToken = token, InitialCluster = this.list });
        Configuration initial = Formed ?? (Proposal is null ? list : InitialConfiguration.ListOf(Proposal));
        var identity = new MemberIdentity(Id, Incarnation, Name, token, ClusterId, Formed is null ? 0 : InitialConfiguration.ListHash(list), Origin);
        Member self = (Configurations.Count > 0 ? Configurations[^1].Configuration : initial).Find(Id) ?? list.Members.Single(m => m.Name == Name) with { Id = Id, Incarnation = Incarnation };
        process++;
        if (Formed is not null) CountStart();
        Formation = new ClusterFormation(
            identity, process, initial,
            new Standing(self, [$"http://{Name}:2379"])
            {
                Seeking = Seeking, Proposal = Formed is null ? Proposal : null, Configurations = Configurations, Starts = Count, LastIndex = LastIndex, Memory = Memory,
                Commit = long.MaxValue,
            },
            id => id == Up, new Signal(), NullLogger.Instance);
    }

    private StartCount Count => Processes.Count == 0 ? StartCount.None : new(Starts, [.. Processes.Skip(1)]);

    private void CountStart()
    {
        Starts++;
        Processes = [process, .. Processes.Take(StartCount.MaxEarlier)];
    }

    /// <summary>A later configuration is in its log, and committed.</summary>
    public void Adopt(long index, Configuration configuration)
    {
        Configurations = [.. Configurations, new ConfigurationAt(index, configuration)];
        Formation.Adopt(Configurations, index);
    }

    /// <summary>Becomes who it has decided to join as.</summary>
    public void Join()
    {
        JoinDecision decision = Formation.Joining!;
        (Id, ClusterId, Origin, Formed, Seeking, Starts, Processes) = (decision.Id, decision.ClusterId, decision.Origin, decision.Base, false, 0, []);
        Configurations = [new ConfigurationAt(0, decision.Base)];
        Boot();
    }

    /// <summary>An identical copy of the disk, which a later process may be started on.</summary>
    public FormingMember Copy()
    {
        var copy = (FormingMember)MemberwiseClone();
        copy.process += 1000;
        return copy;
    }

    /// <summary>The disk is replaced by an empty one.</summary>
    public void Empty(ulong incarnation)
    {
        Incarnation = incarnation;
        Proposal = Formed = null;
        Origin = 0;
        (Id, ClusterId, Starts, Processes, LastIndex, Configurations, Memory) = (InitialConfiguration.IdOf(token, Name), 0, 0, [], 0, [], new PeerMemory());
        Boot();
    }

    /// <summary>First half of a step: to disk. False: nothing to write.</summary>
    public bool Write()
    {
        if (Formed is not null) return false;
        if (Formation.Decided is { } decided)
        {
            (Formed, ClusterId) = (decided, InitialConfiguration.ClusterId(decided, token, Origin));
            CountStart();
            Configurations = [new ConfigurationAt(0, decided)];
        }
        else if (Formation.Wanted is { } wanted) Proposal = wanted;
        else return false;
        return true;
    }

    /// <summary>Second half: what is on disk is said.</summary>
    public void Say()
    {
        if (Formed is not null) Formation.Formed(ClusterId, Count);
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
