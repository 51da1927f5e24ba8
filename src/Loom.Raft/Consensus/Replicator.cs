using Loom.Raft.Quorums;

namespace Loom.Raft.Consensus;

/// <summary>The leader's sending side: progress of every member by position, appends, heartbeats and commit notices.</summary>
internal sealed class Replicator(CoreState state, ConfirmationRounds rounds)
{
    private Progress[] members = [];
    private long[] values = [];
    private int self;

    public ReadOnlySpan<Progress> Members => members;

    public int Self => self;

    public bool IsSoleVoter => state.Quorum.IsSoleVoter(self);

    public Progress? Find(MemberId id)
    {
        int position = state.Quorum.PositionOf(id);
        return position < 0 || position >= members.Length ? null : members[position];
    }

    /// <summary>A new term: nothing is known of anybody.</summary>
    public void Begin()
    {
        members = [];
        Reconfigure();
    }

    /// <summary>The configuration in force changed: who stays keeps its progress.</summary>
    public void Reconfigure()
    {
        CommitQuorum quorum = state.Quorum;
        Progress[] former = members;
        members = new Progress[quorum.Count];
        values = new long[quorum.Count];
        self = quorum.PositionOf(state.Self);
        for (int i = 0; i < members.Length; i++)
        {
            members[i] = Array.Find(former, p => p.Id == quorum.Ids[i])
                ?? new Progress(quorum.Ids[i], state.Options.InflightMessages, state.Options.InflightBytes, state.Log.LastIndex + 1, state.Now);
        }
    }

    /// <summary>What a CommitQuorum holds flushed. The leader's own log counts as far as it is flushed (L8).</summary>
    public long MatchReached()
    {
        for (int i = 0; i < members.Length; i++)
        {
            values[i] = members[i].Match;
        }

        if (self >= 0)
        {
            values[self] = state.Log.Log.DurableIndex;
#if LOOM_MUTATIONS
            if (Diagnostics.Mutations.On("L8-own-match-before-flush"))
            {
                values[self] = state.Log.LastIndex;
            }
#endif
        }

        return state.Quorum.Reached(values);
    }

    /// <summary>The newest round that a CommitQuorum answered.</summary>
    public long RoundReached()
    {
        for (int i = 0; i < members.Length; i++)
        {
            values[i] = members[i].AckedRound;
        }

        if (self >= 0)
        {
            values[self] = rounds.Sent;
        }

        return state.Quorum.Reached(values);
    }

    /// <summary>Since when a CommitQuorum has been heard.</summary>
    public long HeardReached()
    {
        for (int i = 0; i < members.Length; i++)
        {
            values[i] = members[i].LastHeard;
        }

        if (self >= 0)
        {
            values[self] = state.Now;
        }

        return state.Quorum.Reached(values);
    }

    /// <summary>Sends every member what it lacks, as far as its window allows (P5).</summary>
    public void SendAppends()
    {
        for (int i = 0; i < members.Length; i++)
        {
            if (i != self)
            {
                SendAppends(members[i]);
            }
        }
    }

    public void SendAppends(Progress to)
    {
        while (to.MaySend && CanReach(to) && to.Next <= state.Log.LastIndex)
        {
            LogSlice slice = state.Log.Read(to.Next, state.Options.AppendBytes);
            SendAppend(to, slice.Entries);
            to.Sent(to.Next - 1 + slice.Entries.Count, slice.Bytes);
        }
    }

    /// <summary>An append without entries: asks whether everything sent so far arrived. Refused, it leads back to probing.</summary>
    public void SendEmptyAppend(Progress to)
    {
        if (!to.NeedsSnapshot && CanReach(to))
        {
            SendAppend(to, []);
        }
    }

    /// <summary>The member just said that it lives: tells it, at most once in half a heartbeat, what snapshot it needs (S4). From then on this log is kept for it.</summary>
    public void AskSnapshot(Progress to)
    {
        if (!to.NeedsSnapshot || (to.SnapshotIndex > 0 && state.Now - to.SnapshotAskedAt < state.Options.HeartbeatNanoseconds / 2))
        {
            return;
        }

        to.AskSnapshot(state.Log.Log.BaseIndex, state.Now);
        state.Send(new Message
        {
            Kind = MessageKind.SnapshotNeeded, From = state.Self, To = to.Id, Term = state.Term, Index = to.SnapshotIndex,
            LogTerm = state.Log.TermAt(to.SnapshotIndex), Commit = state.Commit,
        });
    }

    /// <summary>The least index that a member collecting a snapshot was told, while its time lasts (S4); long.MaxValue: none.</summary>
    public long RetainFrom()
    {
        long index = long.MaxValue;
        foreach (Progress member in members)
        {
            if (member.NeedsSnapshot && member.SnapshotIndex > 0 && state.Now - member.PinnedAt <= state.Options.SnapshotPinNanoseconds)
            {
                index = Math.Min(index, member.SnapshotIndex);
            }
        }

        return index;
    }

    /// <summary>Starts a confirmation round. To all at each heartbeat; to the voters alone when reads wait for it.</summary>
    public void StartRound(bool votersOnly)
    {
        long round = rounds.Start(state.Now);
        for (int i = 0; i < members.Length; i++)
        {
            if (i != self && (!votersOnly || state.Quorum.IsVoter(i)))
            {
                SendHeartbeat(members[i], round);
            }
        }
    }

    /// <summary>The commit index moved in this step: whoever got no append that says so is told now, not at the next heartbeat (D4).</summary>
    public void SendCommitNotices()
    {
        for (int i = 0; i < members.Length; i++)
        {
            if (i != self && members[i].Replicating && members[i].CommitSent < state.Commit)
            {
                SendHeartbeat(members[i], round: 0);
            }
        }
    }

    /// <summary>Windows that did not move since the last heartbeat may have lost an append: ask.</summary>
    public void CheckStalled()
    {
        for (int i = 0; i < members.Length; i++)
        {
            Progress member = members[i];
            if (i == self || !member.Replicating)
            {
                continue;
            }

            if (member.Match == member.MatchAtHeartbeat && member.Match < member.Next - 1)
            {
                SendEmptyAppend(member);
            }

            member.MatchAtHeartbeat = member.Match;
        }
    }

    /// <summary>A member whose next entry is below the base needs a snapshot; until one comes it gets heartbeats only.</summary>
    private bool CanReach(Progress to)
    {
        if (to.Next - 1 >= state.Log.Log.BaseIndex)
        {
            return true;
        }

        to.NeedSnapshot();
        return false;
    }

    private void SendAppend(Progress to, IReadOnlyList<Entry> entries)
    {
        long previous = to.Next - 1;
        to.CommitSent = state.Commit;
        state.Send(new Message
        {
            Kind = MessageKind.Append, From = state.Self, To = to.Id, Term = state.Term, Index = previous, LogTerm = state.Log.TermAt(previous),
            Entries = entries, Commit = state.Commit, Round = rounds.Sent, RejectHint = state.Log.Log.DurableIndex,
        });
    }

    private void SendHeartbeat(Progress to, long round)
    {
        bool known = to.Match >= state.Log.Log.BaseIndex;
        to.CommitSent = state.Commit;
        state.Send(new Message
        {
            Kind = MessageKind.Heartbeat, From = state.Self, To = to.Id, Term = state.Term, Index = known ? to.Match : 0,
            LogTerm = known ? state.Log.TermAt(to.Match) : 0, Commit = state.Commit, Round = round,
            RejectHint = state.Log.Log.DurableIndex,
        });
    }
}
