using System.Buffers.Binary;
using System.Globalization;
using Loom.Raft.Consensus;
using Loom.Raft.Membership;

namespace Loom.Raft.Tests.Consensus;

/// <summary>The network, disks and clocks of <see cref="RandomNetworkTests"/>, and the checks.</summary>
internal sealed class RandomNetwork
{
    private const long Millisecond = 1_000_000;

    private readonly CoreNode[] nodes;
    private readonly long[] offsets;
    private readonly SeededRandom random;
    private readonly List<Message> flying = [];
    private readonly List<(int Node, int Life, long Sequence)> flushes = [];
    private readonly SortedDictionary<long, MemberId> leaders = [];
    private readonly List<Entry> committed = [];
    private readonly SortedDictionary<(int Node, int Life, ulong Context), long> reads = [];
    private readonly List<string> trace = [];
    private readonly bool changing;
    private readonly bool truncating;
    private readonly List<InstallSnapshot> snapshots = [];
    private readonly long[] commits;
    private readonly long[] sides;
    private long now = 1;
    private ulong counter;

    /// <param name="voters">First members.</param>
    /// <param name="standbys">The members after them.</param>
    /// <param name="outsiders">Nodes that run and are in no configuration yet; with any, members and roles change all the time.</param>
    /// <param name="snapshots">Logs are truncated, and snapshots installed, needed or not.</param>
    /// <param name="seed">Of everything.</param>
    public RandomNetwork(int voters, int standbys, int outsiders, bool snapshots, ulong seed)
    {
        random = new SeededRandom(seed);
        changing = outsiders > 0;
        truncating = snapshots;
        Configuration configuration = Clusters.Of(voters, standbys);
        offsets = new long[voters + standbys + outsiders];
        nodes = new CoreNode[offsets.Length];
        commits = new long[offsets.Length];
        sides = new long[offsets.Length];
        for (int i = 0; i < nodes.Length; i++)
        {
            offsets[i] = random.Below(100_000) * Millisecond;
            nodes[i] = new CoreNode(new MemberId((ulong)i + 1), configuration, Options, now + offsets[i]);
        }
    }

    public IEnumerable<string> Tail => trace.TakeLast(60);

    public long Committed => committed.Count;

    public int ReadsAnswered { get; private set; }

    /// <summary>Joint configurations that a leader appended.</summary>
    public int JointChanges { get; private set; }

    /// <summary>Snapshots that a leader asked for and that took the place of a log.</summary>
    public int Installed { get; private set; }

    private RaftCoreOptions Options(CoreNode node) => new()
    {
        Self = node.Id, Incarnation = (node.Id.Value << 32) + (ulong)node.Life, Seed = random.Next(), AppendBytes = 64, InflightMessages = 4,
    };

    public void Run(int steps)
    {
        for (int step = 0; step < steps; step++)
        {
            Act();
        }
    }

    /// <summary>No more faults: a leader must arise, and everybody must commit everything, within 20 election timeouts.</summary>
    public void Heal()
    {
        long end = now + 20_000 * Millisecond;
        Array.Clear(sides);
        while (now < end)
        {
            for (int i = 0; i < nodes.Length; i++)
            {
                FlushAll(i);
            }

            while (flying.Count > 0)
            {
                Deliver(0);
                for (int i = 0; i < nodes.Length; i++)
                {
                    FlushAll(i);
                }
            }

            now += 5 * Millisecond;
            WakeDue();
            GiveNeededSnapshots();
        }

        CoreNode leader = nodes.Single(n => n.Core.Role == RaftRole.Leader);
        Require(!leader.Core.Configuration.IsJoint, "the joint configuration was not left");
        foreach (CoreNode node in nodes.Where(n => leader.Core.Configuration.Find(n.Id) is not null))
        {
            Require(node.Core.Leader == leader.Id && node.Core.Term == leader.Core.Term, $"{node.Id} does not follow {leader.Id}");
            Require(node.Core.Commit == leader.Log.LastIndex, $"{node.Id} committed {node.Core.Commit} of {leader.Log.LastIndex}");
            Require(node.Log.LastIndex == leader.Log.LastIndex, $"{node.Id} holds {node.Log.LastIndex} of {leader.Log.LastIndex}");
        }
    }

    private void Act()
    {
        int node = (int)random.Below(nodes.Length);
        long dice = random.Below(1000);
        switch (dice)
        {
            case < 420 when flying.Count > 0:
                Deliver((int)random.Below(Math.Min(flying.Count, 8)));
                break;
            case < 440 when flying.Count > 0:
                flying.RemoveAt((int)random.Below(flying.Count));
                break;
            case < 450 when flying.Count > 0:
                flying.Add(flying[(int)random.Below(flying.Count)]);
                break;
            case < 600:
                now += 1 + random.Below(4 * Millisecond);
                WakeDue();
                break;
            case < 605:
                now += random.Below(1500 * Millisecond);
                break;
            case < 680:
                flushes.Add((node, nodes[node].Life, nodes[node].Log.Written));
                break;
            case < 800 when flushes.Count > 0:
                CompleteFlush((int)random.Below(flushes.Count));
                break;
            case < 900:
                Propose(node);
                break;
            case < 960:
                Read(node);
                break;
            case < 963:
                Step(node, new TransferLeadership(new MemberId((ulong)random.Below(nodes.Length) + 1)));
                break;
            case < 967:
                Crash(node);
                break;
            case < 995 when truncating && dice >= 975:
                ActOnSnapshots(node);
                break;
            case < 998 when truncating && dice >= 995:
                Divide();
                break;
            case < 975:
                // Where members change, at a leader: elsewhere it is refused, and too few changes would be made.
                ChangeConfiguration(changing ? Math.Max(0, Array.FindLastIndex(nodes, n => n.Core.Role == RaftRole.Leader)) : node);
                break;
            default:
                FlushAll(node);
                break;
        }
    }

    private void WakeDue()
    {
        for (int i = 0; i < nodes.Length; i++)
        {
            if (now + offsets[i] >= nodes[i].Deadline)
            {
                Step(i, Wake.Instance);
            }
        }
    }

    /// <summary>Messages do not cross from now on: a member may go on for long with a leader that was deposed elsewhere, while a snapshot reaches it by another way.</summary>
    private void Divide()
    {
        for (int i = 0; i < sides.Length; i++)
        {
            sides[i] = random.Below(2);
        }
    }

    private void Deliver(int at)
    {
        Message m = flying[at];
        flying.RemoveAt(at);
        if (sides[(int)m.From.Value - 1] != sides[(int)m.To.Value - 1])
        {
            return;
        }

        Step((int)m.To.Value - 1, new MessageReceived(m));
    }

    private void Propose(int node)
    {
        var body = new byte[8 + random.Below(40)];
        BinaryPrimitives.WriteUInt64LittleEndian(body, ++counter);
        Step(node, new Propose([new ProposalItem(counter, EntryKind.Command, body), new ProposalItem(counter, EntryKind.Command, body)]));
    }

    private void Read(int node)
    {
        ulong context = ++counter;
        reads.Add((node, nodes[node].Life, context), committed.Count);
        Step(node, new ReadIndexRequested(context));
    }

    private void ChangeConfiguration(int node)
    {
        Configuration current = nodes[node].Core.Configuration;
        Configuration wanted = current with { Members = changing ? RandomMembers(current.Members) : WithNewUrl(current.Members, nodes[node].Id), OutgoingVoters = [] };
        if (Step(node, new ProposeConfiguration(wanted)).ConfigurationAccepted == true && nodes[node].Core.Configurations.Any(c => c.Configuration.IsJoint))
        {
            JointChanges++;
        }
    }

    private Member[] WithNewUrl(IReadOnlyList<Member> members, MemberId whose) =>
        [.. members.Select(m => m.Id == whose ? m with { ClientUrls = [$"http://c{++counter}"] } : m)];

    /// <summary>A member added, removed, with another role, in another's place; or several of these at once.</summary>
    private IReadOnlyList<Member> RandomMembers(IReadOnlyList<Member> members)
    {
        var after = members.ToList();
        do
        {
            Member one = after[(int)random.Below(after.Count)];
            CoreNode[] outside = [.. nodes.Where(n => after.All(m => m.Id != n.Id))];
            switch (random.Below(4))
            {
                case 0 when outside.Length > 0:
                    after.Add(one with { Id = outside[random.Below(outside.Length)].Id, Role = MemberRole.Learner });
                    break;
                case 1 when after.Count > 1:
                    after.Remove(one);
                    break;
                case 2:
                    after[after.IndexOf(one)] = one with { Role = one.Role == MemberRole.Voter ? MemberRole.Standby : MemberRole.Voter };
                    break;
                case 3 when outside.Length > 0:
                    after[after.IndexOf(one)] = one with { Id = outside[random.Below(outside.Length)].Id };
                    break;
                default:
                    break;
            }
        }
        while (random.Below(3) == 0);
        return [.. after.OrderBy(m => m.Id)];
    }

    /// <summary>Truncates, captures, or installs: now and then a snapshot that is not needed, is old, or comes from another time.</summary>
    private void ActOnSnapshots(int at)
    {
        CoreNode node = nodes[at];
        long most = Math.Min(Math.Min(node.Core.Commit, node.Log.DurableIndex), node.Core.RetainFrom);
        switch (random.Below(4))
        {
            case 0 when most > node.Log.BaseIndex:
                Step(at, new TruncateLog(most - random.Below(Math.Min(most - node.Log.BaseIndex, 20))));
                break;
            case 1:
                snapshots.Add(node.Capture(node.Core.Commit - random.Below(Math.Min(node.Core.Commit - node.Log.BaseIndex + 1, 4))));
                break;
            case 2 when snapshots.Count > 0:
                InstallHere(at, snapshots[^(int)(1 + random.Below(Math.Min(snapshots.Count, 6)))]);
                break;
            default:
                GiveNeededSnapshots();
                break;
        }
    }

    /// <summary>Whoever needs a snapshot gets one from whoever has it.</summary>
    private void GiveNeededSnapshots()
    {
        for (int i = 0; i < nodes.Length; i++)
        {
            long needed = nodes[i].SnapshotNeeded;
            CoreNode[] sources = needed == 0 ? [] : [.. nodes.Where(n => n.Core.Commit >= needed)];
            if (sources.Length > 0)
            {
                CoreNode source = sources[random.Below(sources.Length)];
                InstallHere(i, source.Capture(source.Core.Commit));
            }
        }
    }

    private void InstallHere(int at, InstallSnapshot snapshot)
    {
        // What a replica does: a state that is here already is not looked at (but its log may be cut by it).
        if (snapshot.Index > nodes[at].Core.Commit || random.Below(4) == 0)
        {
            bool needed = nodes[at].SnapshotNeeded > 0;
            bool installed = Step(at, snapshot).SnapshotAccepted == true;
            Installed += needed && installed && nodes[at].Log.Entries.Count == 0 ? 1 : 0;
        }
    }

    private void Crash(int node)
    {
        Log($"crash {node + 1}");
        commits[node] = 0;
        nodes[node].Restart(now + offsets[node]);
        for (int i = 0; i < nodes.Length; i++)
        {
            if (i != node)
            {
                Step(i, new PeerProcessDied(nodes[node].Id));
            }
        }
    }

    private void FlushAll(int node)
    {
        if (nodes[node].Log.Flushed < nodes[node].Log.Written || nodes[node].Waiting > 0)
        {
            flushes.Add((node, nodes[node].Life, nodes[node].Log.Written));
            CompleteFlush(flushes.Count - 1);
        }
    }

    private void CompleteFlush(int at)
    {
        (int node, int life, long sequence) = flushes[at];
        flushes.RemoveAt(at);
        if (life == nodes[node].Life)
        {
            Check(node, nodes[node].Flush(now + offsets[node], sequence, flying.Add));
        }
    }

    private Output Step(int node, RaftEvent e)
    {
        Log($"{now / Millisecond} {node + 1}: {(e is MessageReceived r ? TranscriptFormat.Of(r.Message) : e.GetType().Name)}");
        Output output = nodes[node].Step(now + offsets[node], e, flying.Add);
        Check(node, output);
        return output;
    }

    private void Check(int at, Output output)
    {
        CoreNode node = nodes[at];
        if (node.Core.Role == RaftRole.Leader && !(leaders.TryGetValue(node.Core.Term, out MemberId known) && known == node.Id))
        {
            Require(leaders.TryAdd(node.Core.Term, node.Id), $"two leaders in term {node.Core.Term}");
            Require(node.Log.LastIndex >= committed.Count, $"leader {node.Id} lacks committed entries");
            for (long i = node.Log.BaseIndex + 1; i <= committed.Count; i++)
            {
                Require(Same(node.Log[i], committed[(int)i - 1]), $"leader {node.Id} has another entry at {i}");
            }
        }

        // What this member calls committed now, compared with what others committed there; an older part was compared before.
        long start = node.Log.BaseIndex;
        Require(start <= node.Core.Commit && start <= committed.Count, $"{node.Id} has a base beyond what is committed");
        Require(start == 0 || node.Log.TermAt(start) == committed[(int)start - 1].Term, $"{node.Id} has another base at {start}");
        Require(node.Core.Commit >= commits[at], $"the commit index of {node.Id} goes back from {commits[at]} to {node.Core.Commit}");
        commits[at] = node.Core.Commit;
        for (long i = Math.Max(start + 1, Math.Min(committed.Count, node.Core.Commit - 50)); i <= node.Core.Commit; i++)
        {
            Entry entry = node.Log[i];
            if (i > committed.Count)
            {
                Require(i == 1 || entry.ClusterTime >= committed[^1].ClusterTime, $"cluster time goes back at {i}");
                committed.Add(entry);
            }

            Require(Same(entry, committed[(int)i - 1]), $"{node.Id} commits another entry at {i}");
        }

        foreach (ReadAnswer answer in output.Reads)
        {
            Require(reads.Remove((at, node.Life, answer.Context), out long mustSee), $"read {answer.Context} answered twice");
            Require(answer.Index < 0 || answer.Index >= mustSee, $"stale read: {answer.Index} < {mustSee}");
            ReadsAnswered += answer.Index >= 0 ? 1 : 0;
        }

        if (random.Below(16) == 0)
        {
            CheckConfiguration(node);
            CheckMatching(node, nodes[random.Below(nodes.Length)]);
        }
    }

    /// <summary>E4: the history is what the log holds, after every append and every cut (looked at now and then: the mistake would stay).</summary>
    private void CheckConfiguration(CoreNode node)
    {
        IReadOnlyList<ConfigurationAt> inLog = node.Log.Configurations;
        Require(node.Core.Configurations.Select(c => c.Index).SequenceEqual(inLog.Select(c => c.Index)), $"{node.Id} has configurations that its log lacks");
        int inForce = node.Log.BaseIndex == 0 ? 0 : committed.FindLastIndex((int)node.Log.BaseIndex - 1, e => e.Kind == EntryKind.Configuration) + 1;
        Require(inLog[0].Index == inForce, $"{node.Id} has the configuration of {inLog[0].Index} at its base {node.Log.BaseIndex}, not that of {inForce}");
    }

    /// <summary>Log matching: where two logs hold entries of one index and term, they are equal up to there, as far back as both reach.</summary>
    private static void CheckMatching(CoreNode a, CoreNode b)
    {
        long from = Math.Max(a.Log.BaseIndex, b.Log.BaseIndex);
        long at = Math.Min(a.Log.LastIndex, b.Log.LastIndex);
        while (at > from && a.Log.TermAt(at) != b.Log.TermAt(at))
        {
            at--;
        }

        for (; at > from; at--)
        {
            Require(Same(a.Log[at], b.Log[at]), $"{a.Id} and {b.Id} differ at {at}, before an entry that they share");
        }
    }

    private static bool Same(in Entry a, in Entry b) =>
        a.Term == b.Term && a.Index == b.Index && a.Kind == b.Kind && a.ClusterTime == b.ClusterTime && a.Body.Span.SequenceEqual(b.Body.Span);

    private static void Require(bool condition, string what)
    {
        if (!condition)
        {
            throw new InvalidOperationException(what);
        }
    }

    private void Log(string line) => trace.Add(line.ToString(CultureInfo.InvariantCulture));
}
