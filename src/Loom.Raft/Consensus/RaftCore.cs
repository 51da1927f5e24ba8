using Loom.Raft.Membership;

namespace Loom.Raft.Consensus;

/// <summary>
/// The consensus of one member as a deterministic state machine (D1): <see cref="Step"/> takes the time and an event, writes to the log's memory,
/// and says what to send and answer. No I/O, no threads, no clock, one seeded random.
/// The driver owes it: a <see cref="Consensus.Wake"/> once <see cref="Output.NextDeadline"/> has passed (after the messages that already arrived, so that a
/// paused process reads its leader's heartbeats before it doubts it), a <see cref="LogFlushed"/> after each flush, an <see cref="Applied"/> after each batch.
/// This class dispatches and changes roles; what a role does stands in <see cref="Follower"/>, <see cref="Candidate"/> and <see cref="Leader"/>.
/// </summary>
internal sealed class RaftCore
{
    private readonly CoreState state;
    private readonly ElectionTimer timer;
    private readonly Ballot ballot;
    private readonly Follower follower;
    private readonly Candidate candidate;
    private readonly Leader leader;

    /// <summary>Recovers. The driver's first step is a Wake, whose output says when the next is due.</summary>
    /// <param name="options">Settings.</param>
    /// <param name="log">The recovered log.</param>
    /// <param name="hardState">The recovered term and vote.</param>
    /// <param name="commitHint">How far the log was known to be committed; capped by the log's last index.</param>
    /// <param name="configurations">Every configuration from the one in force at the log's base to the newest in the log, ascending by index (L6).</param>
    /// <param name="lastClusterTime">Stamp of the last entry of the log (of the base when it is empty).</param>
    /// <param name="now">The monotonic clock.</param>
    public RaftCore(RaftCoreOptions options, IRaftLog log, HardState hardState, long commitHint, IReadOnlyList<ConfigurationAt> configurations, long lastClusterTime, long now)
    {
        state = new CoreState(options, log, hardState, new ConfigurationHistory(configurations), new ClusterTime(lastClusterTime, options.ElectionTimeoutNanoseconds))
        {
            Now = now,
            LeaderHeardAt = now,
        };
        state.Recover(commitHint);
        timer = new ElectionTimer(state);
        ballot = new Ballot(state);
        follower = new Follower(state, timer);
        candidate = new Candidate(state);
        leader = new Leader(state);
        StartTimer();
    }

    public RaftRole Role => state.Role;

    public long Term => state.Term;

    /// <summary>The leader of the current term, or None.</summary>
    public MemberId Leader => state.Leader;

    public long Commit => state.Commit;

    /// <summary>The configuration in force (E4).</summary>
    public Configuration Configuration => state.Quorum.Configuration;

    /// <summary>Every configuration back to the base, ascending (E4, L6).</summary>
    public IReadOnlyList<ConfigurationAt> Configurations => state.Configurations.All;

    /// <summary>On a leader: what an entry appended now would be stamped with (T5); elsewhere the stamp of the last entry.</summary>
    public long ClusterTime => state.Role == RaftRole.Leader ? state.ClusterTime.StampAt(state.Now) : state.ClusterTime.Last;

    /// <summary>False: refuses to vote and does not campaign (E1). May be changed between steps, once the incarnation is pinned or formation is complete (N5).</summary>
    public bool MayVote
    {
        get => state.MayVote;
        set
        {
            bool starts = value && !state.MayVote && state.Role == RaftRole.Follower && state.Leader.IsNone;
            state.MayVote = value;
            if (starts)
            {
                StartTimer();
            }
        }
    }

    /// <summary>When this replica last heard a leader; on a leader: since when a CommitQuorum has been heard. NoQuorum begins 3E after it (N5).</summary>
    public long LeaderHeardAt => state.LeaderHeardAt;

    /// <summary>On a follower: up to here the leader of this term surely holds the log, flushed and committed (E1).</summary>
    public long LeaderHolds => follower.LeaderHolds;

    /// <summary>N5: no leader (a leader: no CommitQuorum) heard for 3E.</summary>
    public bool NoQuorum(long now) => now - state.LeaderHeardAt > 3 * state.ElectionTimeout;

    /// <summary>A transfer is under way here (E6): proposals are refused until it ends.</summary>
    public bool Transferring => leader.Transferring;

    /// <summary>On a leader: the log must keep what follows this index, for a member is collecting a snapshot that reaches it (S4); long.MaxValue: nothing is kept for that.</summary>
    public long RetainFrom => state.Role == RaftRole.Leader ? leader.RetainFrom : long.MaxValue;

    /// <summary>On a leader: fills a view of every other member; elsewhere leaves the list empty.</summary>
    public void Peers(List<PeerView> into)
    {
        into.Clear();
        if (state.Role != RaftRole.Leader)
        {
            return;
        }

        foreach (Progress p in leader.Members)
        {
            if (p.Id != state.Self)
            {
                into.Add(new PeerView(p.Id, p.Match, p.Next, p.LastHeard, p.RoundTripNanoseconds, p.Replicating, p.NeedsSnapshot, p.Forgot));
            }
        }
    }

    /// <summary>Handles one event at one time. The output is valid until the next call.</summary>
    public Output Step(long now, RaftEvent @event)
    {
        (RaftRole role, long term, MemberId known) = (state.Role, state.Term, state.Leader);
        state.Output.Clear();
        state.Now = now;
        if (state.Role == RaftRole.Leader)
        {
            leader.BeginStep();
        }

        Dispatch(@event);
        if (state.Role == RaftRole.Leader)
        {
            leader.EndStep();
        }

        state.Output.Commit = state.Commit;
        state.Output.SnapshotNeeded = follower.NeededSnapshot;
        state.Output.NextDeadline = state.Role == RaftRole.Leader ? leader.NextDeadline : follower.NextDeadline;
        state.Output.StateChanged |= role != state.Role || term != state.Term || known != state.Leader;
        return state.Output;
    }

    private void Dispatch(RaftEvent @event)
    {
        bool leads = state.Role == RaftRole.Leader;
        switch (@event)
        {
            case MessageReceived received:
                OnMessage(received.Message);
                break;
            case LogFlushed:
                state.LogFlushed();
                if (leads)
                {
                    leader.Flushed();
                }

                break;
            case Propose propose when leads:
                leader.Propose(propose.Items);
                break;
            case Propose propose:
                RefuseProposals(propose.Items);
                break;
            case ReadIndexRequested read when leads:
                leader.RequestRead(state.Self, state.Options.Incarnation, read.Context);
                break;
            case ReadIndexRequested read:
                follower.RequestRead(read.Context);
                break;
            case Wake:
                OnWake();
                break;
            case Applied applied:
                leader.Applied(applied.Index);
                break;
            case Heard heard:
                OnHeard(heard.Peer);
                break;
            case TransferLeadership transfer:
                if (leads)
                {
                    leader.BeginTransfer(transfer.Target);
                }

                break;
            case AppendNoOp:
                if (leads)
                {
                    leader.AppendNoOp();
                }

                break;
            case ProposeConfiguration change:
                state.Output.ConfigurationAccepted = leads && leader.ProposeConfiguration(change.Configuration);
                break;
            case InstallSnapshot snapshot:
                state.Output.SnapshotAccepted = Install(snapshot);
                break;
            case TruncateLog truncate:
                state.Truncate(truncate.Index);
                break;
            case PeerProcessDied died:
                OnPeerDied(died.Peer);
                break;
            default:
                throw new ArgumentException($"unknown event {@event}", nameof(@event));
        }
    }

    private void OnWake()
    {
        if (state.Role == RaftRole.Leader)
        {
            if (!leader.Wake())
            {
                BecomeFollower(state.Term, MemberId.None);
            }

            return;
        }

        follower.RefuseOverdueReads();
        if (!timer.IsDue)
        {
            return;
        }

        if (state.MayCampaign)
        {
            BecomePreCandidate();
        }
        else
        {
            timer.Restart();
        }
    }

    private void OnHeard(MemberId peer)
    {
        if (state.Role == RaftRole.Leader)
        {
            leader.Heard(peer);
        }
        else if (peer == state.Leader)
        {
            follower.HearLeader();
        }
    }

    /// <summary>E2: a leader whose process died is not heard any more; whoever saw it may campaign, and grant, at once.</summary>
    private void OnPeerDied(MemberId peer)
    {
        if (state.Role == RaftRole.Leader)
        {
            leader.PeerDied(peer);
        }
        else if (peer == state.Leader)
        {
            state.Leader = MemberId.None;
            follower.RefuseReads();
            timer.Hurry(Rank(except: peer));
            if (timer.IsDue && state.MayCampaign)
            {
                BecomePreCandidate();
            }
        }
    }

    /// <summary>S3. False: not needed here.</summary>
    private bool Install(InstallSnapshot snapshot)
    {
        EnterTermOf(snapshot);
        bool beyond = snapshot.Index > state.Commit;
        if (snapshot.Index <= state.Log.Log.BaseIndex || (beyond && state.Role == RaftRole.Leader))
        {
            return false;
        }

        if (beyond && state.Role != RaftRole.Follower)
        {
            // Its campaign spoke of another log, and perhaps of other voters.
            BecomeFollower(state.Term, MemberId.None);
        }

        state.Install(snapshot);
        if (state.Role != RaftRole.Leader)
        {
            follower.Installed(snapshot.Index);
        }

        return true;
    }

    /// <summary>
    /// What is in the snapshot was committed by leaders up to its source's term. A member of an older term might still follow a leader that never heard of it: that one's entries would
    /// contradict the snapshot, and a match at its index would be a false one.
    /// </summary>
    private void EnterTermOf(InstallSnapshot snapshot)
    {
#if LOOM_MUTATIONS
        if (Diagnostics.Mutations.On("S3-keep-older-term"))
        {
            return;
        }
#endif
        if (snapshot.SourceTerm > state.Term)
        {
            BecomeFollower(snapshot.SourceTerm, MemberId.None);
        }
    }

    private void OnMessage(Message m)
    {
        if (m.To != state.Self)
        {
            return;
        }

        if (m.Term < state.Term)
        {
            OnFormerTerm(m);
            return;
        }

        bool asksVote = m.Kind is MessageKind.Vote or MessageKind.PreVote;
        if (asksVote && m.Term > state.Term && ballot.IsSticky(m, follower.HeardAt))
        {
            return;
        }

        // A pre-vote speaks of a term that nobody has entered yet.
        bool hypothetical = m.Kind == MessageKind.PreVote || (m.Kind == MessageKind.PreVoteResponse && !m.Reject);
        if (m.Term > state.Term && !hypothetical)
        {
            BecomeFollower(m.Term, MemberId.None);
        }

        OnCurrentTerm(m);
    }

    private void OnCurrentTerm(Message m)
    {
        switch (m.Kind)
        {
            case MessageKind.Append:
                Follow(m.From);
                follower.OnAppend(m);
                break;
            case MessageKind.Heartbeat:
                Follow(m.From);
                follower.OnHeartbeat(m);
                break;
            case MessageKind.SnapshotNeeded:
                Follow(m.From);
                follower.OnSnapshotNeeded(m);
                break;
            case MessageKind.AppendResponse when state.Role == RaftRole.Leader:
                leader.OnAppendResponse(m);
                break;
            case MessageKind.HeartbeatResponse when state.Role == RaftRole.Leader:
                leader.OnHeartbeatResponse(m);
                break;
            case MessageKind.ReadIndex when state.Role == RaftRole.Leader:
                leader.RequestRead(m.From, m.Incarnation, m.Context);
                break;
            case MessageKind.ReadIndex:
                RefuseRead(m);
                break;
            case MessageKind.ReadIndexResponse:
                follower.OnReadIndexResponse(m);
                break;
            case MessageKind.Vote or MessageKind.PreVote:
                if (ballot.Answer(m))
                {
                    timer.Restart();
                }

                break;
            case MessageKind.PreVoteResponse when state.Role == RaftRole.PreCandidate && (m.Reject || m.Term == state.Term + 1):
            case MessageKind.VoteResponse when state.Role == RaftRole.Candidate:
                candidate.OnResponse(m);
                DecideElection();
                break;
            case MessageKind.TimeoutNow when state.Role != RaftRole.Leader && m.From == state.Leader && state.MayCampaign:
                BecomeCandidate(transfer: true);
                break;
            default:
                // An answer to a role that is over.
                break;
        }
    }

    /// <summary>The sender lives in a term that is over. It learns so; a leader that is no more steps down by it (E3).</summary>
    private void OnFormerTerm(Message m)
    {
        switch (m.Kind)
        {
            case MessageKind.Append or MessageKind.SnapshotNeeded:
                Reply(m, MessageKind.AppendResponse);
                break;
            case MessageKind.Heartbeat:
                Reply(m, MessageKind.HeartbeatResponse);
                break;
            case MessageKind.Vote or MessageKind.PreVote:
                ballot.Refuse(m);
                break;
            case MessageKind.ReadIndex:
                RefuseRead(m);
                break;
            default:
                break;
        }
    }

    private void Reply(Message m, MessageKind kind) =>
        state.Send(new Message { Kind = kind, From = state.Self, To = m.From, Term = state.Term, Reject = true, Index = m.Index });

    private void RefuseRead(Message m) =>
        state.Send(new Message
        {
            Kind = MessageKind.ReadIndexResponse, From = state.Self, To = m.From, Term = state.Term, Reject = true, Context = m.Context, Incarnation = m.Incarnation,
        });

    private void RefuseProposals(IReadOnlyList<ProposalItem> items)
    {
        for (int i = 0; i < items.Count; i++)
        {
            state.Output.Proposals.Add(new ProposalAnswer(items[i].Tag, ProposalRefusal.NotLeader, 0, 0));
        }
    }

    /// <summary>Somebody leads this term.</summary>
    private void Follow(MemberId from)
    {
        if (state.Role == RaftRole.Leader)
        {
            throw new InvalidOperationException($"{from} claims to lead term {state.Term}, which {state.Self} leads");
        }

        if (state.Role != RaftRole.Follower || state.Leader != from)
        {
            BecomeFollower(state.Term, from);
        }
    }

    private void BecomeFollower(long term, MemberId knownLeader)
    {
        if (state.Role == RaftRole.Leader)
        {
            leader.End();
        }

        if (term > state.Term)
        {
            state.SaveHardState(term, MemberId.None);
            follower.ForgetVerified();
        }

        follower.RefuseReads();
        state.Role = RaftRole.Follower;
        state.Leader = knownLeader;
        timer.AwaitVotes();
    }

    private void BecomePreCandidate()
    {
        follower.RefuseReads();
        state.Role = RaftRole.PreCandidate;
        state.Leader = MemberId.None;
#if LOOM_MUTATIONS
        if (Diagnostics.Mutations.On("E2-no-pre-vote"))
        {
            BecomeCandidate(transfer: false);
            return;
        }
#endif
        timer.AwaitPreVotes();
        candidate.AskPreVotes();
        DecideElection();
    }

    private void BecomeCandidate(bool transfer)
    {
        follower.RefuseReads();
        state.SaveHardState(state.Term + 1, state.Self);
        follower.ForgetVerified();
        state.Role = RaftRole.Candidate;
        state.Leader = MemberId.None;
        timer.AwaitVotes();
        candidate.AskVotes(transfer);
        DecideElection();
    }

    private void DecideElection()
    {
        long result = candidate.Result;
        if (result < 0)
        {
            BecomeFollower(state.Term, MemberId.None);
        }
        else if (result > 0 && state.Role == RaftRole.PreCandidate)
        {
            BecomeCandidate(transfer: false);
        }
        else if (result > 0)
        {
            BecomeLeader();
        }
    }

    private void BecomeLeader()
    {
        if (candidate.AnsweredByOthers)
        {
            state.TermOnDisk = state.Term;
        }

        state.Role = RaftRole.Leader;
        state.Leader = state.Self;
        follower.ForgetNeededSnapshot();
        leader.Begin();
    }

    /// <summary>
    /// At the start. A cluster that never elected anybody has nobody to disturb, so its members go in turn at once instead of waiting for E;
    /// nor has a single voter anybody to wait for.
    /// </summary>
    private void StartTimer()
    {
        bool alone = state.Quorum.IsSoleVoter(state.Quorum.PositionOf(state.Self));
        if (state.MayCampaign && (state.Term == 0 || alone))
        {
            timer.Hurry(Rank(except: MemberId.None));
        }
        else
        {
            timer.Restart();
        }
    }

    /// <summary>Place among the voters, without one of them.</summary>
    private int Rank(MemberId except)
    {
        int rank = 0;
        for (int i = 0; i < state.Quorum.Count; i++)
        {
            MemberId id = state.Quorum.Ids[i];
            if (id < state.Self && id != except && state.Quorum.IsVoter(i))
            {
                rank++;
            }
        }

        return rank;
    }
}
