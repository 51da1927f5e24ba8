using System.Runtime.InteropServices;
using Loom.Raft.Membership;

namespace Loom.Raft.Consensus;

/// <summary>Follows a leader, or waits for one: accepts entries, learns what is committed, passes read requests on.</summary>
internal sealed class Follower(CoreState state, ElectionTimer timer)
{
    private readonly ForwardedReads reads = new();

    /// <summary>Up to here this log equals that of the leader of this term: what it may be told to be committed.</summary>
    private long verified;

    /// <summary>What the leader of this term has said that its own log holds, flushed; counted as far as it is committed, for no change of leader takes that away from it (E1).</summary>
    private long leaderFlushed;

    /// <inheritdoc cref="leaderFlushed"/>
    public long LeaderHolds => Math.Min(leaderFlushed, state.Commit);

    /// <summary>When the leader was last heard, for stickiness (E2).</summary>
    public long HeardAt { get; private set; }

    /// <summary>S4: the leader's log no longer reaches back to this one; a snapshot at this index or above is needed. 0: none.</summary>
    public long NeededSnapshot { get; private set; }

    public long NextDeadline => Math.Min(timer.Deadline, reads.NextDeadline);

    /// <summary>A new term: nothing is verified against its leader yet.</summary>
    public void ForgetVerified() => verified = leaderFlushed = 0;

    /// <summary>The leader is alive.</summary>
    public void HearLeader()
    {
        HeardAt = state.Now;
        state.LeaderHeardAt = state.Now;
        timer.Restart();
    }

    public void OnAppend(Message m)
    {
        HearLeader();
        leaderFlushed = Math.Max(leaderFlushed, m.RejectHint);
        long previous = m.Index;
        IReadOnlyList<Entry> entries = m.Entries;
        long last = previous + entries.Count;
        if (!Precedes(m, out int skip))
        {
            RefuseAppend(m);
            return;
        }

        skip = SkipHeld(entries, skip);
        if (skip < entries.Count)
        {
            Append(entries, skip);
        }

        verified = Math.Max(verified, last);
        NeededSnapshot = 0;
        state.CommitTo(Math.Min(m.Commit, verified));

        // The match covers entries that may not be flushed yet: the answer waits (L8).
        SendMatch(m.From, m.Round);
    }

    /// <summary>The leader cannot send what this log lacks. What lies at or below the base here, or was installed meanwhile, it need not send: an answer was lost.</summary>
    public void OnSnapshotNeeded(Message m)
    {
        HearLeader();
        long here = state.Log.Log.BaseIndex;
        if (m.Index > here && !state.Log.Holds(m.Index, m.LogTerm))
        {
            NeededSnapshot = m.Index;
            return;
        }

        verified = Math.Max(verified, Math.Max(m.Index, here));
        NeededSnapshot = 0;
        state.CommitTo(Math.Min(m.Commit, verified));
        SendMatch(m.From, round: 0);
    }

    /// <summary>
    /// The log stands on a snapshot at this index. All of it was committed in this term or before, so the leader of this term holds it: this log equals that one up to there.
    /// </summary>
    public void Installed(long index)
    {
        verified = Math.Max(verified, index);
        if (NeededSnapshot <= index)
        {
            NeededSnapshot = 0;
        }

        if (!state.Leader.IsNone)
        {
            SendMatch(state.Leader, round: 0);
        }
    }

    /// <summary>This member leads: its own log is what counts.</summary>
    public void ForgetNeededSnapshot() => NeededSnapshot = 0;

    public void OnHeartbeat(Message m)
    {
        HearLeader();
        leaderFlushed = Math.Max(leaderFlushed, m.RejectHint);

        // The leader says up to where this log was once flushed and equal to its own: after a restart in the same term that is news.
        if (m.Index > verified && state.Log.Holds(m.Index, m.LogTerm))
        {
            verified = m.Index;
        }

        state.CommitTo(Math.Min(m.Commit, verified));
        if (m.Round > 0)
        {
            state.Send(new Message { Kind = MessageKind.HeartbeatResponse, From = state.Self, To = m.From, Term = state.Term, Round = m.Round });
        }
    }

    public void RequestRead(ulong context)
    {
#if LOOM_MUTATIONS
        if (Diagnostics.Mutations.On("R1-local-read"))
        {
            state.Output.Reads.Add(new ReadAnswer(context, state.Commit));
            return;
        }
#endif
        if (state.Leader.IsNone || reads.IsFull)
        {
            state.Output.Reads.Add(new ReadAnswer(context, -1));
            return;
        }

        reads.Add(context, state.Now + state.ElectionTimeout);
        state.Send(new Message
        {
            Kind = MessageKind.ReadIndex, From = state.Self, To = state.Leader, Term = state.Term, Context = context, Incarnation = state.Options.Incarnation,
        });
    }

    public void OnReadIndexResponse(Message m)
    {
        // A counter starts again with each process: an answer meant for a former life names an index that may be too old (R1).
        if (m.Incarnation == state.Options.Incarnation && reads.Remove(m.Context))
        {
            state.Output.Reads.Add(new ReadAnswer(m.Context, m.Reject ? -1 : m.Index));
        }
    }

    /// <summary>The leader changed or is lost: whoever waits for its answer asks again.</summary>
    public void RefuseReads() => reads.Refuse(long.MaxValue, state.Output.Reads);

    public void RefuseOverdueReads() => reads.Refuse(state.Now, state.Output.Reads);

    /// <summary>True if this log holds the entry before the new ones. <paramref name="skip"/>: how many of them lie at or below the base, committed long ago.</summary>
    private bool Precedes(Message m, out int skip)
    {
        long below = state.Log.Log.BaseIndex - m.Index;
        skip = below <= 0 ? 0 : (int)Math.Min(below, m.Entries.Count);
        if (skip > 0 && skip == below && m.Entries[skip - 1].Term != state.Log.TermAt(state.Log.Log.BaseIndex))
        {
            throw new InvalidOperationException($"the leader's entry {state.Log.Log.BaseIndex} contradicts the snapshot that this log stands on");
        }

        return below > 0 || state.Log.Holds(m.Index, m.LogTerm);
    }

    /// <summary>Entries that are here already are neither written nor do they cut anything (L7): the append may be an old one, overtaken by later ones.</summary>
    private int SkipHeld(IReadOnlyList<Entry> entries, int skip)
    {
#if LOOM_MUTATIONS
        if (Diagnostics.Mutations.On("L7-truncate-without-conflict"))
        {
            return skip;
        }
#endif
        while (skip < entries.Count && state.Log.Holds(entries[skip].Index, entries[skip].Term))
        {
            skip++;
        }

        return skip;
    }

    private void Append(IReadOnlyList<Entry> entries, int skip)
    {
        long first = entries[skip].Index;
        if (first <= state.Commit)
        {
#if LOOM_MUTATIONS
            if (!Diagnostics.Mutations.On("L7-truncate-without-conflict"))
#endif
            throw new InvalidOperationException($"the leader's entry {first} contradicts a committed one (commit index {state.Commit})");
        }

        ReadOnlySpan<Entry> rest = AsSpan(entries)[skip..];
        if (first <= state.Log.LastIndex)
        {
            state.Configurations.CutFrom(first);
            state.Log.Forget();
        }

        state.Log.Log.Append(rest);
        foreach (ref readonly Entry entry in rest)
        {
            if (entry.Kind == EntryKind.Configuration)
            {
                state.Configurations.Append(entry.Index, ConfigurationCodec.Decode(entry.Body.Span));
            }
        }

        state.ClusterTime.Appended(rest[^1].ClusterTime);
    }

    private void SendMatch(MemberId to, long round) => state.SendAfterFlush(new Message
    {
        Kind = MessageKind.AppendResponse, From = state.Self, To = to, Term = state.Term, Index = verified, Round = round,
    });

    /// <summary>Fast back-up (thesis 5.3): names the last place where the logs can agree, given the term the leader has at the refused place.</summary>
    private void RefuseAppend(Message m)
    {
        long hint = state.Log.LastWithTermAtMost(Math.Min(m.Index, state.Log.LastIndex), m.LogTerm);
        state.Send(new Message
        {
            Kind = MessageKind.AppendResponse, From = state.Self, To = m.From, Term = state.Term, Index = m.Index, Reject = true,
            RejectHint = hint, LogTerm = state.Log.TermAt(hint), Round = m.Round,
        });
    }

    private static ReadOnlySpan<Entry> AsSpan(IReadOnlyList<Entry> entries) => entries switch
    {
        Entry[] array => array,
        List<Entry> list => CollectionsMarshal.AsSpan(list),
        ArraySegment<Entry> segment => segment,
        _ => entries.ToArray(),
    };
}
