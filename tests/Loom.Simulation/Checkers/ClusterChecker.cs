using System.IO.Hashing;
using Loom.Raft.Consensus;
using Loom.Raft.Membership;
using Loom.Simulation.Engine;

namespace Loom.Simulation.Checkers;

/// <summary>What the checker may see of a member.</summary>
internal interface IMemberView
{
    int Number { get; }

    bool IsUp { get; }

    /// <summary>Its id in this life of its disk (E1).</summary>
    MemberId Id { get; }

    /// <summary>The configuration in force there (E4).</summary>
    Configuration Configuration { get; }

    int Datacenter { get; }

    IRaftLog Log { get; }

    long Term { get; }

    bool IsLeader { get; }

    /// <summary>Index of the configuration in force (E4); 0: the initial one.</summary>
    long ConfigurationIndex { get; }

    long Commit { get; }

    /// <summary>On a leader: what an entry appended now would be stamped with.</summary>
    long ClusterTime { get; }

    long Applied { get; }

    /// <summary>Newest durable checkpoint that the replica knows of, and the one before it; 0: none.</summary>
    (long Newest, long Previous) Checkpoints { get; }

    /// <summary>Its log goes on from a snapshot that its state has not reached yet: one is to come, or to be switched to.</summary>
    bool AwaitsState { get; }
}

/// <summary>
/// Looks at a member after each of its steps, with the eyes of one who sees all members: one leader per term, log matching, leader completeness, committed entries never
/// change, a commit is durable on a quorum, a log begins behind committed entries only, the order of indexes (L9), equal states at equal indexes, cluster time (T5), one vote per term, and what was durable before
/// a crash is there after it. Each look costs what changed, not what there is.
/// </summary>
internal sealed class ClusterChecker(Scheduler scheduler, double fastestClock, bool twoDatacenters, long electionTimeout)
{
    private readonly SortedDictionary<long, (int Member, int Life)> leaders = [];
    private readonly Dictionary<(long Index, long Term), EntryFacts> entries = [];
    private readonly Dictionary<long, (long Stamp, long Since)> timeBases = [];
    private readonly List<Committed> committed = [default];
    private readonly Dictionary<long, (UInt128 Hash, int Member)> applyHashes = [];
    private readonly Dictionary<(ulong Member, long Term), ulong> votes = [];
    private readonly List<MemberMemory> members = [];

    // Disks that are gone: what they had answered for still counts, for their last answers may be under way.
    private readonly Dictionary<MemberId, (List<long> Terms, long Durable, int Datacenter)> former = [];

    public long HighestCommit => committed.Count - 1;

    public long HighestTerm { get; private set; }

    public int Elections => leaders.Count;

    public long Conflicts { get; private set; }

    public void AddMember(IMemberView view) => members.Add(new MemberMemory(view));

    /// <summary>To be called after every step of a member.</summary>
    public void Observe(int number)
    {
        MemberMemory member = members[number];
        IMemberView view = member.View;
        member.LedBefore = member.LedTerm;
        ObserveLog(member);
        if (view.ConfigurationIndex != member.Configurations[^1])
        {
            throw new SimulationFailure("configuration", $"n{number} goes by the configuration of {view.ConfigurationIndex}; the newest in its log is that of {member.Configurations[^1]} (E4)");
        }

        if (view.Term < member.Term)
        {
            throw new SimulationFailure("term-backwards", $"n{number} went from term {member.Term} to {view.Term}");
        }

        member.Term = view.Term;
        HighestTerm = Math.Max(HighestTerm, view.Term);
        ObserveLeader(member);
        if (view.IsLeader && member.LedBefore == view.Term && view.ClusterTime - member.ClusterTime > electionTimeout + Ns.Microsecond)
        {
            throw new SimulationFailure("cluster-time", $"n{number} adds {(view.ClusterTime - member.ClusterTime) / 1e6:F1} ms of cluster time at once; at most one election timeout may be added (T5)");
        }

        member.ClusterTime = view.IsLeader ? view.ClusterTime : 0;
        ObserveCommit(member);
        ObserveApplied(member);
    }

    /// <summary>A granted vote has left the member.</summary>
    public void ObserveVote(ulong voter, long term, ulong candidate)
    {
        if (!votes.TryAdd((voter, term), candidate) && votes[(voter, term)] != candidate)
        {
            throw new SimulationFailure("two-votes", $"{voter:x} voted for {votes[(voter, term)]:x} and {candidate:x} in term {term}");
        }
    }

    /// <summary>A message has left the member: its term, and in it the member's vote, must be on disk (L8). Pre-votes promise nothing.</summary>
    public void ObserveSent(int number, long term) => members[number].SentTerm = Math.Max(members[number].SentTerm, term);

    /// <summary>The member's process ended. What its log called durable until now must be there when it is opened again.</summary>
    public void ObserveEnd(int number)
    {
        MemberMemory member = members[number];
        member.Life++;
        member.DurableAtEnd = Math.Min(member.Durable, member.Terms.Count - 1);
        member.Commit = 0;
        member.Applied = 0;

        // An unflushed term may be lost; leading one term in two lives is as bad as two leaders.
        member.Term = 0;
        member.LedTerm = 0;
    }

    /// <summary>The member's disk was replaced by an empty one. What it had answered for still counts until it is opened again: its last answers may be under way.</summary>
    public void ObserveWipe(int number) => members[number].IsWiped = true;

    /// <summary>The member begins anew, under an id that it does not have yet (E1); to be called while its view still shows the old one.</summary>
    public void ObserveNewLife(int number)
    {
        MemberMemory member = members[number];
        former.TryAdd(member.View.Id, (member.Terms, member.DurableAtEnd, member.View.Datacenter));
        members[number] = new MemberMemory(member.View) { Life = member.Life + 1 };
    }

    /// <summary>The member's log was opened, before its first step.</summary>
    public void ObserveOpen(int number, HardState hardState)
    {
        MemberMemory member = members[number];
        if (member.IsWiped)
        {
            member.SentTerm = 0;
        }
        else if (hardState.Term < member.SentTerm
            || (hardState.Term == member.SentTerm && member.TermsBeforeWipe.Count == 0 && votes.TryGetValue((member.View.Id.Value, hardState.Term), out ulong vote) && hardState.Vote.Value != vote))
        {
            throw new SimulationFailure("promise-forgotten",
                $"n{number} had sent messages in term {member.SentTerm}; after the restart it knows term {hardState.Term} and a vote for {hardState.Vote}");
        }

        IRaftLog log = member.View.Log;
        if (member.IsWiped)
        {
            member.IsWiped = false;
            (member.TermsBeforeWipe, member.DurableBeforeWipe) = ([.. member.Terms], member.DurableAtEnd);
            member.Configurations.RemoveAll(c => c > 0);
            member.Terms.RemoveRange(1, member.Terms.Count - 1);
            member.DurableAtEnd = 0;
        }

        member.Base = log.BaseIndex;
        for (long index = 1; index <= member.DurableAtEnd; index++)
        {
            if (index > log.LastIndex || (index > log.BaseIndex && log.TermAt(index) != member.Terms[(int)index]))
            {
                throw new SimulationFailure("durable-lost",
                    $"n{number} had called ({index}, term {member.Terms[(int)index]}) durable; after the restart its log ends at {log.LastIndex}"
                    + (index <= log.LastIndex ? $" and holds term {log.TermAt(index)} there" : ""));
            }
        }

        if (members.Count == 1)
        {
            // What is lost here was nowhere else, and its term may be led again.
            for (long index = log.LastIndex + 1; index < member.Terms.Count; index++)
            {
                entries.Remove((index, member.Terms[(int)index]));
            }

            timeBases.Remove(member.Terms[^1]);
        }

        if (member.Terms.Count - 1 > log.LastIndex)
        {
            member.Terms.RemoveRange((int)log.LastIndex + 1, member.Terms.Count - 1 - (int)log.LastIndex);
            member.Configurations.RemoveAll(c => c > log.LastIndex);
        }

        member.Durable = 0;
        ObserveLog(member);
    }

    /// <summary>Entries left the log, because they are in a checkpoint, or because a snapshot took their place: then the member holds what was committed, seen or not.</summary>
    private void ObserveBase(MemberMemory member, IRaftLog log)
    {
        long index = log.BaseIndex;
        if (index == member.Base)
        {
            return;
        }

        if (index < member.Base || index > HighestCommit || log.TermAt(index) != committed[(int)index].Term)
        {
            throw new SimulationFailure("base",
                $"the log of n{member.View.Number} begins at ({index}, term {log.TermAt(index)}), after {member.Base}; {HighestCommit} are committed, of term {committed[(int)Math.Min(index, HighestCommit)].Term} there");
        }

        member.Base = index;
        if (index < member.Terms.Count && member.Terms[(int)index] == committed[(int)index].Term)
        {
            return;
        }

        Conflicts += index < member.Terms.Count ? 1 : 0;
        member.Terms.RemoveRange(1, member.Terms.Count - 1);
        member.Configurations.RemoveAll(c => c > 0);
        for (int i = 1; i <= index; i++)
        {
            member.Terms.Add(committed[i].Term);
            if (committed[i].IsConfiguration)
            {
                member.Configurations.Add(i);
            }
        }
    }

    private void ObserveLog(MemberMemory member)
    {
        IRaftLog log = member.View.Log;
        ObserveBase(member, log);
        long last = log.LastIndex;
        long same = Math.Min(last, member.Terms.Count - 1);
        if (last != member.Terms.Count - 1 || log.TermAt(last) != member.Terms[(int)last])
        {
            // Terms in a log grow, so walking down to the first agreement finds all that changed.
            while (same > log.BaseIndex && log.TermAt(same) != member.Terms[(int)same])
            {
                same--;
            }

            if (same < member.Terms.Count - 1)
            {
                Conflicts++;
                if (same < Math.Min(member.Commit, HighestCommit))
                {
                    throw new SimulationFailure("committed-cut", $"n{member.View.Number} cut its log after {same}, though it knew {member.Commit} to be committed");
                }

                member.Terms.RemoveRange((int)same + 1, member.Terms.Count - 1 - (int)same);
                member.Configurations.RemoveAll(c => c > same);
            }

            if (last > same)
            {
                foreach (Entry entry in ReadAll(log, same + 1, last))
                {
                    ObserveEntry(member, entry);
                }
            }
        }

        member.Durable = log.DurableIndex;
        if (member.Durable > last)
        {
            throw new SimulationFailure("index-order", $"n{member.View.Number}: durable {member.Durable} > last {last}");
        }
    }

    private static IEnumerable<Entry> ReadAll(IRaftLog log, long from, long to)
    {
        while (from <= to)
        {
            IReadOnlyList<Entry> read = log.Read(from, to, 1 << 20);
            foreach (Entry entry in read)
            {
                yield return entry;
            }

            from += read.Count;
        }
    }

    private void ObserveEntry(MemberMemory member, Entry entry)
    {
        if (entry.Index != member.Terms.Count)
        {
            throw new SimulationFailure("log-gap", $"n{member.View.Number}: entry {entry.Index} at position {member.Terms.Count}");
        }

        // By induction over appends: if each (index, term) has one content and one predecessor, logs that agree at one position agree before it.
        long previousTerm = member.Terms[^1];
        ulong hash = XxHash3.HashToUInt64(entry.Body.Span, ((long)entry.Kind << 56) ^ entry.ClusterTime);
        if (!entries.TryGetValue((entry.Index, entry.Term), out EntryFacts facts))
        {
            CheckClusterTime(entry, previousTerm);
            entries[(entry.Index, entry.Term)] = new(previousTerm, hash, entry.ClusterTime, entry.Kind == EntryKind.Configuration, scheduler.Now);
        }
        else if (facts.PreviousTerm != previousTerm || facts.Hash != hash)
        {
            throw new SimulationFailure("log-matching",
                $"n{member.View.Number} holds another entry ({entry.Index}, term {entry.Term}) than was appended first: previous term {previousTerm} and {facts.PreviousTerm}");
        }

        if (previousTerm > entry.Term)
        {
            throw new SimulationFailure("log-matching", $"n{member.View.Number}: term {previousTerm} before term {entry.Term} at {entry.Index}");
        }

        member.Terms.Add(entry.Term);
        if (entry.Kind == EntryKind.Configuration)
        {
            member.Configurations.Add(entry.Index);
        }
    }

    /// <summary>
    /// T5: stamps never decrease, and a leader's run at most at real speed from the last stamp that it found. Its first entry is appended in the step in which it begins to lead, so that is when its time begins.
    /// Nor are two entries that follow each other further apart than the time between them: what the first one granted for a time must not end before that time has passed.
    /// </summary>
    private void CheckClusterTime(Entry entry, long previousTerm)
    {
        long before = entries.TryGetValue((entry.Index - 1, previousTerm), out EntryFacts previous) ? previous.ClusterTime : 0;
        if (!timeBases.TryGetValue(entry.Term, out (long Stamp, long Since) origin))
        {
            timeBases[entry.Term] = origin = (before, scheduler.Now);
        }

        long elapsed = (long)((scheduler.Now - origin.Since) * fastestClock) + Ns.Microsecond;
        if (entry.ClusterTime < before || entry.ClusterTime - origin.Stamp > elapsed)
        {
            throw new SimulationFailure("cluster-time",
                $"entry {entry.Index} is stamped {entry.ClusterTime / 1e6:F3} ms after {before / 1e6:F3} ms; its leader began at {origin.Stamp / 1e6:F3} ms, {elapsed / 1e6:F3} ms ago");
        }

        long between = (long)((scheduler.Now - previous.Since) * fastestClock) + Ns.Microsecond;
        if (entry.ClusterTime - before > between)
        {
            throw new SimulationFailure("cluster-time",
                $"entry {entry.Index} is stamped {(entry.ClusterTime - before) / 1e6:F3} ms after the one before it, which was appended {between / 1e6:F3} ms ago");
        }
    }

    private void ObserveLeader(MemberMemory member)
    {
        IMemberView view = member.View;
        if (!view.IsLeader || member.LedTerm == view.Term)
        {
            return;
        }

        member.LedTerm = view.Term;
        if (!leaders.TryAdd(view.Term, (view.Number, member.Life)) && !(members.Count == 1 && leaders[view.Term].Life < member.Life))
        {
            // A single member leads at once and may lose that term with its power; nothing of it left the member before its flush (L8), so it may lead the term again.
            throw new SimulationFailure("one-leader", $"n{leaders[view.Term].Member} and n{view.Number} both led term {view.Term}");
        }

        for (long index = 1; index < committed.Count; index++)
        {
            // Only what was committed by an earlier term's leader must be here: votes may arrive late, when a later term has gone on.
            Committed entry = committed[(int)index];
            if (entry.ByTerm < view.Term && (index >= member.Terms.Count || member.Terms[(int)index] != entry.Term))
            {
                throw new SimulationFailure("leader-completeness",
                    $"n{view.Number} leads term {view.Term} without entry {index} of term {entry.Term}, which was committed in term {entry.ByTerm}");
            }
        }
    }

    private void ObserveCommit(MemberMemory member)
    {
        IMemberView view = member.View;
        if (view.Commit < member.Commit)
        {
            throw new SimulationFailure("commit-backwards", $"n{view.Number}: commit {member.Commit} → {view.Commit}");
        }

        if (view.Commit >= member.Terms.Count)
        {
            throw new SimulationFailure("index-order", $"n{view.Number}: commit {view.Commit} > last {member.Terms.Count - 1}");
        }

        // E5: a leader that led this term before the step commits by counting its own term's entries only; anything older may still be overwritten (figure 8).
        if (view.Commit > member.Commit && view.IsLeader && member.LedBefore == view.Term && member.Terms[(int)view.Commit] != view.Term)
        {
            throw new SimulationFailure("commit-term", $"n{view.Number} leads term {view.Term} and commits up to {view.Commit}, an entry of term {member.Terms[(int)view.Commit]}");
        }

        for (long index = member.Commit + 1; index <= view.Commit; index++)
        {
            EntryFacts facts = entries[(index, member.Terms[(int)index])];
            if (index < committed.Count)
            {
                if (committed[(int)index].Term != member.Terms[(int)index] || committed[(int)index].Hash != facts.Hash)
                {
                    throw new SimulationFailure("committed-changed",
                        $"n{view.Number} commits ({index}, term {member.Terms[(int)index]}); term {committed[(int)index].Term} had been committed there");
                }
            }
            else
            {
                committed.Add(new(member.Terms[(int)index], facts.Hash, view.Term, facts.IsConfiguration));
                CheckQuorum(index, member);
            }
        }

        member.Commit = view.Commit;
    }

    /// <summary>
    /// An index that anyone first calls committed is durable, with that term, on a majority of the voters of the configuration in force there, of both halves of a joint one; of members that are down,
    /// what was durable at their end counts.
    /// </summary>
    private void CheckQuorum(long index, MemberMemory by)
    {
        Configuration configuration = by.View.Configuration;
        CheckQuorum(index, by, [.. configuration.Voters]);
        if (configuration.IsJoint)
        {
            CheckQuorum(index, by, configuration.OutgoingVoters);
        }
    }

    private void CheckQuorum(long index, MemberMemory by, IReadOnlyList<MemberId> voters)
    {
        int holders = 0, datacenters = 0;
        foreach (MemberId voter in voters)
        {
            if (HolderOf(voter, index) is { } datacenter)
            {
                holders++;
                datacenters |= 1 << datacenter;
            }
        }

        if (holders <= voters.Count / 2 || (twoDatacenters && int.PopCount(datacenters) < 2))
        {
            throw new SimulationFailure("commit-quorum",
                $"n{by.View.Number} commits ({index}, term {committed[(int)index].Term}) in term {by.View.Term}, durable on {holders} of {voters.Count} voters in {int.PopCount(datacenters)} datacenters");
        }
    }

    /// <summary>The datacenter of a voter that holds the committed entry; null: it does not.</summary>
    private int? HolderOf(MemberId voter, long index)
    {
        long term = committed[(int)index].Term;
        if (former.TryGetValue(voter, out (List<long> Terms, long Durable, int Datacenter) gone))
        {
            return gone.Durable >= index && gone.Terms[(int)index] == term ? gone.Datacenter : null;
        }

        if (members.Find(m => m.View.Id == voter) is { } member)
        {
            long durable = member.View.IsUp ? member.View.Log.DurableIndex : member.DurableAtEnd;
            bool holds = (durable >= index && index < member.Terms.Count && member.Terms[(int)index] == term)
                || (member.DurableBeforeWipe >= index && member.TermsBeforeWipe[(int)index] == term);
            return holds ? member.View.Datacenter : null;
        }

        return null;
    }

    private static void ObserveOrder(MemberMemory member)
    {
        IMemberView view = member.View;
        IRaftLog log = view.Log;
        if (view.AwaitsState && view.Applied <= view.Commit && view.Applied >= member.Applied)
        {
            return;
        }

        if (view.Applied < log.BaseIndex || view.Applied > Math.Min(view.Commit, log.DurableIndex) || view.Applied < member.Applied)
        {
            throw new SimulationFailure("index-order",
                $"n{view.Number}: base {log.BaseIndex} ≤ applied {member.Applied} → {view.Applied} ≤ min(commit {view.Commit}, durable {log.DurableIndex}) does not hold (L9)");
        }

        (long newest, long previous) = view.Checkpoints;
        if (newest > view.Applied || previous > newest || log.BaseIndex > (previous > 0 ? previous : newest))
        {
            throw new SimulationFailure("index-order", $"n{view.Number}: base {log.BaseIndex} ≤ previous checkpoint {previous} ≤ checkpoint {newest} ≤ applied {view.Applied} does not hold (L9)");
        }
    }

    /// <summary>To be called after the member's applier has applied.</summary>
    public void ObserveApplied(int number) => ObserveApplied(members[number]);

    private static void ObserveApplied(MemberMemory member)
    {
        IMemberView view = member.View;
        ObserveOrder(member);
        if (view.Applied == member.Applied)
        {
            return;
        }

        member.Applied = view.Applied;
    }

    /// <summary>A member's applier folded one more entry into its hash (S5): equal on all members at every index, whatever the batches were.</summary>
    public void ObserveHash(int number, long index, UInt128 hash)
    {
        if (!applyHashes.TryAdd(index, (hash, number)) && applyHashes[index].Hash != hash)
        {
            throw new SimulationFailure("state-hash", $"n{number} and n{applyHashes[index].Member} differ at applied index {index}");
        }
    }

    private readonly record struct EntryFacts(long PreviousTerm, ulong Hash, long ClusterTime, bool IsConfiguration, long Since);

    private readonly record struct Committed(long Term, ulong Hash, long ByTerm, bool IsConfiguration);

    private sealed class MemberMemory(IMemberView view)
    {
        public IMemberView View { get; } = view;

        /// <summary>Term of each entry of its log, as last seen; [0] stands before the log.</summary>
        public List<long> Terms { get; } = [0];

        /// <summary>Indexes of the configurations in its log; 0 is the initial one.</summary>
        public List<long> Configurations { get; } = [0];

        /// <summary>Where its log begins.</summary>
        public long Base { get; set; }

        public int Life { get; set; }

        public long Term { get; set; }

        public long LedTerm { get; set; }

        /// <summary>The term that it led before this step.</summary>
        public long LedBefore { get; set; }

        public long SentTerm { get; set; }

        public long ClusterTime { get; set; }

        public long Commit { get; set; }

        public long Applied { get; set; }

        public long Durable { get; set; }

        public long DurableAtEnd { get; set; }

        public bool IsWiped { get; set; }

        /// <summary>What it had answered for before its disk was emptied: those answers may be counted later. That is safe as long as it does not vote (E1).</summary>
        public List<long> TermsBeforeWipe { get; set; } = [];

        public long DurableBeforeWipe { get; set; }
    }
}
