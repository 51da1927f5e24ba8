using System.Globalization;
using System.Text;
using Loom.Raft.Consensus;
using Loom.Raft.Membership;

namespace Loom.Raft.Tests.Consensus;

/// <summary>
/// Runs one transcript in the manner of etcd-io/raft: blocks of commands, <c>----</c>, and what they caused. Members are numbers, times are milliseconds.
/// <code>
/// cluster VOTERS [STANDBYS]      E = 1000 ms, heartbeat 100 ms; options: window=N (appends in flight), append=BYTES, uncommitted=BYTES, pin=MS, outsiders=N (run, but are no members yet)
/// time MS                        lets time pass; nobody is woken
/// wake N                         wakes a member; "elect N" lets 2E pass first, so that it campaigns
/// flush N                        completes the flush of what it wrote
/// deliver | deliver A B          delivers all that flies, or all from A to B, once
/// drop | drop A B                loses it
/// settle                         flushes and delivers until nothing moves; quiet: prints only what changed
/// propose N BODY… | flood N COUNT BYTES | config N URL | read N CONTEXT | transfer N TARGET | died N PEER | restart N | mayvote N yes|no
/// truncate N INDEX               entries up to there leave the log
/// capture NAME N | install N NAME   takes a snapshot of what is committed at a member; gives it to a member
/// members N MEMBER…              proposes a configuration of these members: 2v voter, 4s standby, 5l learner
/// status [N] | log N | members N role, term, leader, commit, last and durable index; the entries with their stamps; the configuration in force
/// </code>
/// </summary>
internal sealed class Transcript
{
    private const long Millisecond = 1_000_000;

    private readonly StringBuilder answer = new();
    private readonly List<Message> flying = [];
    private readonly SortedDictionary<string, InstallSnapshot> captured = new(StringComparer.Ordinal);
    private CoreNode[] nodes = [];
    private long now;
    private ulong tag;
    private bool quiet;

    /// <summary>The text with the answers that the cores give now.</summary>
    public string Replay(string text)
    {
        var result = new List<string>();
        foreach (string block in text.Replace("\r\n", "\n", StringComparison.Ordinal).Split("\n\n", StringSplitOptions.RemoveEmptyEntries))
        {
            string[] input = [.. block.Trim('\n').Split('\n').TakeWhile(line => line != "----")];
            answer.Clear();
            foreach (string line in input.Where(line => line.Length > 0 && line[0] != '#'))
            {
                Run(line.Split(' ', StringSplitOptions.RemoveEmptyEntries));
            }

            bool silent = input.All(line => line.Length == 0 || line[0] == '#');
            string said = answer.Length == 0 ? "(nothing)\n" : answer.ToString();
            result.Add(string.Join('\n', input) + (silent ? "\n" : "\n----\n" + said));
        }

        return string.Join('\n', result);
    }

    private void Run(string[] words)
    {
        switch (words[0])
        {
            case "cluster":
                Open(words);
                break;
            case "time":
                now += Number(words[1]) * Millisecond;
                break;
            case "wake":
                Step(words[1], Wake.Instance);
                break;
            case "elect":
                now += 2000 * Millisecond;
                Step(words[1], Wake.Instance);
                break;
            case "flush":
                Flush(Node(words[1]));
                break;
            case "deliver":
                Deliver(Take(words));
                break;
            case "drop":
                answer.Append(CultureInfo.InvariantCulture, $"dropped {Take(words).Count}\n");
                break;
            case "settle":
                Settle();
                break;
            case "propose":
                Step(words[1], new Propose([.. words[2..].Select(w => new ProposalItem(++tag, EntryKind.Command, Encoding.UTF8.GetBytes(w)))]));
                break;
            case "flood":
                Step(words[1], new Propose([.. Enumerable.Range(0, (int)Number(words[2])).Select(_ => new ProposalItem(++tag, EntryKind.Command, new byte[Number(words[3])]))]));
                break;
            case "config":
                Configuration current = Node(words[1]).Core.Configuration;
                Step(words[1], new ProposeConfiguration(current with { Members = [.. current.Members.Select(m => m with { ClientUrls = [words[2]] })] }));
                break;
            case "members" when words.Length > 2:
                Step(words[1], new ProposeConfiguration(Clusters.Parse(words[2..])));
                break;
            case "members":
                answer.Append(CultureInfo.InvariantCulture, $"{words[1]}: {Clusters.Format(Node(words[1]).Core.Configuration)}\n");
                break;
            case "read":
                Step(words[1], new ReadIndexRequested((ulong)Number(words[2])));
                break;
            case "transfer":
                Step(words[1], new TransferLeadership(new MemberId((ulong)Number(words[2]))));
                break;
            case "died":
                Step(words[1], new PeerProcessDied(new MemberId((ulong)Number(words[2]))));
                break;
            case "restart":
                Node(words[1]).Restart(now);
                break;
            case "truncate":
                Step(words[1], new TruncateLog(Number(words[2])));
                break;
            case "capture":
                InstallSnapshot taken = captured[words[1]] = Node(words[2]).Capture(Node(words[2]).Core.Commit);
                answer.Append(CultureInfo.InvariantCulture, $"{words[1]}: {taken.Index}/{taken.Term} configuration {taken.Configuration.Index} of term {taken.SourceTerm}\n");
                break;
            case "install":
                Step(words[1], captured[words[2]]);
                break;
            case "mayvote":
                Node(words[1]).Core.MayVote = words[2] == "yes";
                break;
            case "status":
                foreach (CoreNode node in words.Length > 1 ? [Node(words[1])] : nodes)
                {
                    Status(node);
                }

                break;
            case "log":
                foreach (Entry entry in Node(words[1]).Log.Entries)
                {
                    answer.Append(CultureInfo.InvariantCulture, $"{TranscriptFormat.Of(entry)} @{entry.ClusterTime / Millisecond}\n");
                }

                break;
            default:
                throw new FormatException($"unknown command {words[0]}");
        }
    }

    private void Open(string[] words)
    {
        long Option(string name, long standard) =>
            words.FirstOrDefault(w => w.StartsWith(name + "=", StringComparison.Ordinal)) is { } w ? Number(w[(name.Length + 1)..]) : standard;

        int standbys = words.Length > 2 && !words[2].Contains('=', StringComparison.Ordinal) ? (int)Number(words[2]) : 0;
        int voters = (int)Number(words[1]);
        Configuration configuration = Clusters.Of(voters, standbys);
        nodes = [.. Enumerable.Range(1, voters + standbys + (int)Option("outsiders", 0)).Select(i => new CoreNode(new MemberId((ulong)i), configuration, n => new RaftCoreOptions
        {
            Self = n.Id, Incarnation = ((ulong)n.Life << 8) + n.Id.Value, Seed = n.Id.Value, InflightMessages = (int)Option("window", 256),
            AppendBytes = Option("append", 256 << 10), UncommittedBytes = Option("uncommitted", 64 << 20),
            SnapshotPinNanoseconds = Option("pin", 600_000) * Millisecond,
        }, now))];
    }

    private void Settle()
    {
        quiet = true;
        while (flying.Count > 0 || nodes.Any(n => n.Waiting > 0 || n.Log.Flushed < n.Log.Written))
        {
            foreach (CoreNode node in nodes)
            {
                Flush(node);
            }

            Deliver(Take(["deliver"]));
        }

        quiet = false;
    }

    private List<Message> Take(string[] words)
    {
        List<Message> taken = flying.FindAll(m => words.Length < 3 || ($"{m.From}" == words[1] && $"{m.To}" == words[2]));
        flying.RemoveAll(taken.Contains);
        return taken;
    }

    private void Deliver(List<Message> messages)
    {
        foreach (Message m in messages)
        {
            Step(m.To.ToString(), new MessageReceived(m));
        }
    }

    private void Flush(CoreNode node)
    {
        Before before = new(node.Core.Role, node.Core.Term, node.Core.Commit, node.SnapshotNeeded);
        Tell(node, before, node.Flush(now, node.Log.Written, m => Send(m, "sends")));
    }

    private void Step(string id, RaftEvent e)
    {
        CoreNode node = Node(id);
        Before before = new(node.Core.Role, node.Core.Term, node.Core.Commit, node.SnapshotNeeded);
        Output output = node.Step(now, e, m => Send(m, "sends"));
        if (!quiet)
        {
            foreach (Message m in output.AfterFlush)
            {
                answer.Append(CultureInfo.InvariantCulture, $"  after flush {TranscriptFormat.Of(m)}\n");
            }
        }

        Tell(node, before, output);
    }

    private void Send(Message m, string verb)
    {
        flying.Add(m);
        if (!quiet)
        {
            answer.Append(CultureInfo.InvariantCulture, $"  {verb} {TranscriptFormat.Of(m)}\n");
        }
    }

    private readonly record struct Before(RaftRole Role, long Term, long Commit, long SnapshotNeeded);

    private void Tell(CoreNode node, Before before, Output output)
    {
        if (before.Role != node.Core.Role || before.Term != node.Core.Term)
        {
            answer.Append(CultureInfo.InvariantCulture, $"{node.Id}: {node.Core.Role} t{node.Core.Term}\n");
        }

        if (before.Commit != node.Core.Commit)
        {
            answer.Append(CultureInfo.InvariantCulture, $"{node.Id}: commit {node.Core.Commit}\n");
        }

        if (output.SnapshotAccepted is { } installed)
        {
            answer.Append(CultureInfo.InvariantCulture, $"{node.Id}: snapshot {(installed ? "installed" : "ignored")}\n");
        }

        if (before.SnapshotNeeded != node.SnapshotNeeded)
        {
            answer.Append(CultureInfo.InvariantCulture, $"{node.Id}: {(node.SnapshotNeeded == 0 ? "needs no snapshot" : $"needs a snapshot at {node.SnapshotNeeded} or above")}\n");
        }

        foreach (IGrouping<ProposalRefusal, ProposalAnswer> group in output.Proposals.GroupBy(p => p.Refusal))
        {
            string places = group.Key == ProposalRefusal.None ? $" from {group.First().Index}/{group.First().Term}" : "";
            answer.Append(CultureInfo.InvariantCulture, $"{node.Id}: {group.Count()} {(group.Key == ProposalRefusal.None ? "appended" : group.Key)}{places}\n");
        }

        foreach (ReadAnswer read in output.Reads)
        {
            answer.Append(CultureInfo.InvariantCulture, $"{node.Id}: read {read.Context} {(read.Index < 0 ? "ask again" : $"index {read.Index}")}\n");
        }

        if (output.ConfigurationAccepted is { } accepted)
        {
            answer.Append(CultureInfo.InvariantCulture, $"{node.Id}: configuration {(accepted ? "appended" : "refused")}\n");
        }
    }

    private void Status(CoreNode n) => answer.Append(CultureInfo.InvariantCulture,
        $"{n.Id}: {n.Core.Role} t{n.Core.Term} leader {n.Core.Leader} commit {n.Core.Commit} last {n.Log.LastIndex} durable {n.Log.DurableIndex} configuration {n.Core.Configurations[^1].Index}{(n.Log.BaseIndex > 0 ? $" base {n.Log.BaseIndex}/{n.Log.TermAt(n.Log.BaseIndex)}" : "")}{(n.Core.RetainFrom < long.MaxValue ? $" keeps from {n.Core.RetainFrom}" : "")}\n");

    private CoreNode Node(string id) => nodes[Number(id) - 1];

    private static long Number(string word) => long.Parse(word, CultureInfo.InvariantCulture);
}
