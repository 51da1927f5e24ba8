using Loom.Raft.Consensus;
using Loom.Raft.Membership;
using Loom.Raft.Proposals;
using Loom.Raft.Reads;

namespace Loom.Raft.Replica;

/// <summary>
/// One replica without threads, tasks or sockets (T2): joins the consensus core, the durable log, the applier's hand-over, proposals and reads.
/// Single-threaded: its driver calls <see cref="Step(long, ReadOnlySpan{ReplicaEvent})"/>, carries out the effects, and gives the log writer its batches
/// (TakeBatch on this thread when <see cref="ReplicaEffects.LogWork"/>; write and flush elsewhere; <see cref="LogBatchCompleted"/> brings it back).
/// Invariant (L9): applied ≤ handed over ≤ min(commit, durable here). Any exception in here means that the replica is broken: it stops (D8).
/// </summary>
internal sealed class ReplicaCore
{
    private readonly RaftCore core;
    private readonly IReplicaLog log;
    private readonly ReplicaEffects effects = new();
    private readonly HeldMessages held = new();
    private readonly Forwarder forwarder;
    private readonly Proposer proposer;
    private readonly LeaderIntake intake;
    private readonly ReadBarrier reads;
    private readonly Transfers transfers;
    private readonly HandOver handOver;
    private readonly Fitness fitness;
    private readonly StateExchange exchange;
    private readonly Checkpoints checkpoints;
    private readonly Captures captures;
    private readonly StateSwitch stateSwitch;
    private readonly LogRetention retention;
    private readonly SeededRandom random;
    private readonly List<PeerView> peers = [];
    private long coreDeadline;
    private (MemberId Leader, long Term) lastLeader;
    private string? logPause;
    private string? applyPause;
    private long? wantedSnapshot;
    private long snapshotNeeded;
    private bool noQuorum;
    private bool stopped;

    /// <param name="options">Settings and bounds.</param>
    /// <param name="core">Built from the recovered log.</param>
    /// <param name="log">The same log.</param>
    /// <param name="opened">What <see cref="Applier.Open"/> found, checked against the log.</param>
    public ReplicaCore(ReplicaOptions options, RaftCore core, IReplicaLog log, OpenedState opened = default)
    {
        Options = options;
        this.core = core;
        this.log = log;
        random = new SeededRandom(options.Seed ^ options.Incarnation);
        forwarder = new Forwarder(options, log, effects.Forward, random.Next());
        proposer = new Proposer(options, forwarder, effects.Proposals, random.Next());
        intake = new LeaderIntake(options.Id, proposer, effects.Forward);
        handOver = new HandOver(options, log, proposer, effects.Apply, opened);
        reads = new ReadBarrier(options, effects.Reads);
        transfers = new Transfers(options.Id, effects.Transfers);
        fitness = new Fitness(options.ElectionTimeout);
        exchange = new StateExchange(options.Id, effects.Control);
        stateSwitch = new StateSwitch(options, log, handOver, effects);
        retention = new LogRetention(options);
        checkpoints = new Checkpoints(opened);
        captures = new Captures(options, core, log, random, effects.Captures);
        log.AdvanceApplied(opened.Index);
    }

    public ReplicaOptions Options { get; }

    /// <summary>Everything up to here is applied here.</summary>
    public long Applied => handOver.Applied;

    /// <summary>S5: at this index the state here was found to differ from that of a strict majority. Nothing is applied or answered any more until it is replaced. 0: it is not.</summary>
    public long QuarantinedAt => exchange.QuarantinedAt;

    /// <summary>S5: at this index the members' states differ and no strict majority agrees. 0: no such thing was seen.</summary>
    public long StatesDifferAt => exchange.StatesDifferAt;

    /// <summary>Index of the newest durable checkpoint of the state; 0: none.</summary>
    public long CheckpointIndex => checkpoints.Index;

    /// <summary>Index of the checkpoint before it (L9). 0: none.</summary>
    public long PreviousCheckpointIndex => checkpoints.PreviousIndex;

    /// <summary>The least index of a snapshot that this replica needs from another member (S4); null: none. <see cref="ReplicaEffects.SnapshotWanted"/> says when it changed.</summary>
    public long? WantedSnapshot => effects.Failure is null && !stopped ? wantedSnapshot : null;

    /// <summary>The consensus core, for status and for <see cref="RaftCore.MayVote"/> (E1); its Step belongs to this replica.</summary>
    public RaftCore Core => core;

    /// <summary>Why this replica failed, or null.</summary>
    public Exception? Failure => effects.Failure;

    /// <summary>Proposals of this process that are not settled; zero when it may close without leaving an Unknown behind.</summary>
    public long UnsettledProposals => proposer.Unsettled;

    /// <summary>How a proposal of this process ended, while it is among the last settled (P1).</summary>
    public SettledProposal? FindSettled(ProposalId id) => proposer.FindSettled(id);

    /// <summary>Takes events in order and returns what to do about them; valid until the next call.</summary>
    public ReplicaEffects Step(long now, ReadOnlySpan<ReplicaEvent> events)
    {
        effects.Clear();
        try
        {
            foreach (var one in events)
            {
                Take(now, one);
            }

            if (effects.Failure is null)
            {
                Advance(now);
            }
        }
        catch (Exception error)
        {
            Fail(error);
        }

        return effects;
    }

    /// <summary>One event.</summary>
    public ReplicaEffects Step(long now, ReplicaEvent one) => Step(now, new ReadOnlySpan<ReplicaEvent>(in one));

    private void Take(long now, ReplicaEvent one)
    {
        switch (one)
        {
            // A failed or closed replica still answers its callers, and does nothing else.
            case ProposalRequested e:
                proposer.Submit(now, e.Request, Gate(now, isWrite: true));
                break;
            case ReadRequested e:
                reads.Submit(now, e.Request, Gate(now, isWrite: false));
                break;
            case TransferRequested e:
                TakeTransfer(now, e.Request);
                break;
            case CaptureRequested e:
                captures.Take(e, refused: GivesNoState);
                break;
            case StateCaptured e:
                captures.Done(e, refused: GivesNoState);
                break;
            case SnapshotCollected e:
                OnCollected(now, e);
                break;
            case ConfigurationRequested e:
                TakeConfiguration(now, e.Configuration);
                break;
            case ProposalAbandoned e:
                proposer.Abandon(e.Request);
                break;
            case ReadAbandoned e:
                reads.Abandon(e.Request);
                break;
            case IntakeStopped:
                stopped = true;
                break;
            case Closing:
                stopped = true;
                AnswerAll(RaftErrorCode.Stopped);
                break;
            default:
                if (effects.Failure is null)
                {
                    TakeInternal(now, one);
                }

                break;
        }
    }

    private void TakeInternal(long now, ReplicaEvent one)
    {
        switch (one)
        {
            case PeerMessage { Message.Kind: MessageKind.StateReport } e:
                exchange.Received(now, e.Message);
                break;
            case PeerMessage e:
                StepCore(now, new MessageReceived(e.Message));
                break;
            case PeerForward { Message: ForwardProposals proposals }:
                intake.Add(proposals);
                break;
            case PeerForward { Message: ForwardReceipts receipts }:
                foreach (var answer in receipts.Answers)
                {
                    proposer.OnReceipt(now, answer);
                }

                break;
            case LogBatchCompleted e:
                OnLogCompleted(now, e);
                break;
            case LogPaused e:
                logPause = e.Reason;
                effects.StatusChanged = true;
                break;
            case ApplyPaused e:
                applyPause = e.Reason;
                effects.StatusChanged = true;
                break;
            case BatchApplied e:
                OnApplied(now, e.Batch);
                break;
            case CheckpointTaken e:
                OnCheckpoint(now, e);
                break;
            case SnapshotInstalled e:
                OnInstalled(now, e);
                break;
            case LaterStateNeeded e:
                if (!stopped && log.LastIndex < e.Index)
                {
                    StepCore(now, AppendNoOp.Instance);
                }

                break;
            case PeerHeard e:
                StepCore(now, new Heard(e.Peer));
                break;
            case PeerDied e:
                StepCore(now, new PeerProcessDied(e.Peer));
                break;
            case PeerConnected { Lane: PeerLane.Forward } e:
                forwarder.Connected(e.Peer);
                break;
            case PeerDisconnected { Lane: PeerLane.Forward } e:
                proposer.OnDisconnected(e.Peer);
                break;
            case ApplyFailed e:
                Fail(e.Error);
                break;
            case HostFailed e:
                Fail(e.Error);
                break;
        }
    }

    /// <summary>Everything that events made possible, once for all of them.</summary>
    private void Advance(long now)
    {
        if (now >= coreDeadline)
        {
            StepCore(now, Wake.Instance);
        }

        NoticeLeader(now);
        if (now >= proposer.SweepAt)
        {
            proposer.Sweep(now, Expired);
        }

        if (now >= reads.SweepAt)
        {
            reads.Sweep(now, Expired);
        }

        var forwardedBefore = effects.Forward.Count;
        proposer.Pump();
        forwarder.Flush(now, core.Leader, intake.Local);
        if (effects.Forward.Count > forwardedBefore)
        {
            proposer.NoticeSent(now);
        }

        Propose(now);
        if (reads.NextRound(now) is var context && context != 0)
        {
            StepCore(now, new ReadIndexRequested(context));
        }

        transfers.Check(now, core);
        CompareStates(now);
        if (!IsQuarantined)
        {
            handOver.Advance(core.Commit);
        }

        stateSwitch.Advance(proposer);
        NoticeWantedSnapshot();
        LeaveLeadershipIfUnfit(now);
        effects.LogWork = log.HasWork;
        var nextComparison = stateSwitch.IsUnderWay ? long.MaxValue : exchange.NextLook;
        effects.NextWake = Math.Min(Math.Min(coreDeadline, transfers.NextDeadline), Math.Min(Math.Min(fitness.NextLook, nextComparison), Math.Min(proposer.SweepAt, reads.SweepAt)));
    }

    /// <summary>S5. While the applier switches to another state nothing is judged: what was reported is of the one that goes, and a verdict would meet the one that comes.</summary>
    private void CompareStates(long now)
    {
        if (stateSwitch.IsUnderWay)
        {
            return;
        }

        var wasWrong = IsQuarantined;
        effects.StatusChanged |= exchange.Compare(now, core.Configuration);
        if (IsQuarantined && !wasWrong)
        {
            reads.FailAll(RaftErrorCode.Corruption);
        }
    }

    private void LeaveLeadershipIfUnfit(long now)
    {
        if (!fitness.MustHandOver(now, core, log, handOver, IsQuarantined))
        {
            return;
        }
#if LOOM_MUTATIONS
        if (Diagnostics.Mutations.On("E8-keep-leading"))
        {
            return;
        }
#endif
        var target = transfers.Best(now, core, Options.ElectionTimeout);
        if (!target.IsNone)
        {
            effects.Unfit = true;
            StepCore(now, new TransferLeadership(target));
        }
    }

    /// <summary>Notices a new leader, and that there is none for too long (N5).</summary>
    private void NoticeLeader(long now)
    {
        if (!core.Leader.IsNone && (core.Leader, core.Term) != lastLeader)
        {
            lastLeader = (core.Leader, core.Term);
            proposer.OnLeaderChanged();
            reads.OnLeaderChanged(now);
        }

        if (core.NoQuorum(now) != noQuorum)
        {
            noQuorum = !noQuorum;
            effects.StatusChanged = true;
        }
    }

    private void NoticeWantedSnapshot()
    {
        var wanted = stateSwitch.Wanted(snapshotNeeded, IsQuarantined);
        if (wanted != wantedSnapshot)
        {
            wantedSnapshot = wanted;
            effects.SnapshotWanted = true;
            effects.StatusChanged = true;
        }
    }

    private bool IsQuarantined => exchange.QuarantinedAt > 0;

    private bool GivesNoState => effects.Failure is not null || stopped || IsQuarantined;

    private RaftErrorCode Expired => noQuorum ? RaftErrorCode.NoQuorum : RaftErrorCode.DeadlineExceeded;

    /// <summary>Why a new call is refused now, or 0.</summary>
    private RaftErrorCode Gate(long now, bool isWrite) =>
        effects.Failure is not null ? RaftErrorCode.Failed
        : stopped ? RaftErrorCode.Stopped
        : core.NoQuorum(now) ? RaftErrorCode.NoQuorum
        : IsQuarantined ? RaftErrorCode.Corruption
        : isWrite && core.Commit - Applied > Options.MaxForwardLag ? RaftErrorCode.Overloaded
        : 0;

    private void StepCore(long now, RaftEvent @event) => Absorb(now, core.Step(now, @event));

    private void Absorb(long now, Output output)
    {
        coreDeadline = output.NextDeadline;
        snapshotNeeded = output.SnapshotNeeded;
        effects.StatusChanged |= output.StateChanged;
        effects.Control.AddRange(output.Now);
        if (output.AfterFlush.Count > 0)
        {
            var sequence = log.WriteSequence;
            foreach (var message in output.AfterFlush)
            {
                if (sequence <= log.DurableSequence || LeavesUnflushed())
                {
                    effects.Control.Add(message);
                }
                else
                {
                    held.Hold(sequence, message);
                }
            }
        }

        foreach (var answer in output.Reads)
        {
            reads.OnAnswer(now, answer, Applied);
        }
    }

    private static bool LeavesUnflushed()
    {
#if LOOM_MUTATIONS
        return Diagnostics.Mutations.On("L8-send-before-flush");
#else
        return false;
#endif
    }

    private void Propose(long now)
    {
        if (intake.IsEmpty)
        {
            return;
        }

        var propose = intake.Gather(out var receipts);
        if (propose is not null)
        {
            var output = core.Step(now, propose);
            foreach (var answer in output.Proposals)
            {
                intake.Answer(now, answer, receipts);
            }

            Absorb(now, output);
        }

        intake.Finish(receipts);
    }

    private void OnLogCompleted(long now, LogBatchCompleted completed)
    {
        var error = completed.Error;
#if LOOM_MUTATIONS
        error = Diagnostics.Mutations.On("L1-ignore-flush-error") ? null : error;
#endif
        log.Completed(completed.Sequence, error);
        if (error is not null)
        {
            Fail(error);
            return;
        }

        held.Release(log.DurableSequence, core.Term, effects.Control);
        StepCore(now, LogFlushed.Instance);
    }

    private void OnApplied(long now, AppliedBatch batch)
    {
        handOver.Done(batch);
        exchange.Applied(now, core.Term, core.Configuration, batch.Marks);
        // What was in flight when the state was found to be wrong answers nobody: the sessions of the state that takes its place will (P3).
        if (!IsQuarantined)
        {
            foreach (var outcome in batch.Local)
            {
                proposer.OnOutcome(outcome);
            }

            proposer.OnApplied(Applied);
        }

        reads.OnApplied(Applied);
        StepCore(now, new Applied(Applied));
    }

    private void OnCheckpoint(long now, CheckpointTaken taken)
    {
        // Of a state that is wrong nothing may be thrown away on the strength of its checkpoints.
        if (!checkpoints.Take(taken, Applied) || IsQuarantined)
        {
            return;
        }

        core.Peers(peers);
        var limit = retention.Limit(now, PreviousCheckpointIndex, Applied, log, peers, core.RetainFrom);
        if (limit > log.BaseIndex)
        {
            StepCore(now, new TruncateLog(limit));
        }
    }

    private void OnCollected(long now, SnapshotCollected collected)
    {
        if (stateSwitch.Judge(collected, WantedSnapshot, closing: effects.Failure is not null || stopped) is not { } install)
        {
            return;
        }

        var output = core.Step(now, install);
        if (output.SnapshotAccepted == true)
        {
            stateSwitch.Placed(collected);
        }
        else
        {
            stateSwitch.Discard(collected, "the log here reaches further");
        }

        Absorb(now, output);
    }

    /// <summary>The state jumped over entries that were never applied here; whoever waits for one of them is answered by the sessions of the state (P3).</summary>
    private void OnInstalled(long now, SnapshotInstalled installed)
    {
        var inquiry = stateSwitch.Done();
        handOver.Jump(installed.Opened);
        checkpoints.Replace(installed.Opened);
        exchange.Forget();
        proposer.OnJump(installed.Opened.Index, installed.Opened.Term, inquiry, installed.Answers);
        reads.OnApplied(Applied);
        effects.StatusChanged = true;
        StepCore(now, new Applied(Applied));
    }

    private void TakeTransfer(long now, TransferRequest request)
    {
        if (effects.Failure is not null)
        {
            effects.Transfers.Add(new TransferCompletion(request, RaftErrorCode.Failed));
            return;
        }

        var target = transfers.Begin(now, request, core, Options.ElectionTimeout);
        if (!target.IsNone)
        {
            StepCore(now, new TransferLeadership(target));
        }
    }

    private void TakeConfiguration(long now, Configuration configuration)
    {
        if (effects.Failure is null && !stopped)
        {
            StepCore(now, new ProposeConfiguration(configuration));
        }
    }

    /// <summary>The end (L1, D8, L10): nothing more is sent, written, applied or acknowledged; callers learn what is known.</summary>
    private void Fail(Exception error)
    {
        if (effects.Failure is not null)
        {
            return;
        }

        effects.Failure = error;
        effects.StatusChanged = true;
        effects.Control.Clear();
        effects.Forward.Clear();
        effects.Apply.Clear();
        effects.Install = null;
        captures.RefuseAll();
        effects.LogWork = false;
        effects.NextWake = long.MaxValue;
        held.Clear();
        AnswerAll(RaftErrorCode.Failed);
    }

    private void AnswerAll(RaftErrorCode code)
    {
        proposer.ConcludeAll(code);
        reads.FailAll(code);
        transfers.FailAll(code);
    }

    /// <summary>A picture of this replica; the host adds what the connections know.</summary>
    public RaftNodeStatus CaptureStatus() => StatusPicture.Of(Options, core, log, handOver, noQuorum, stopped, effects.Failure, peers) with
    {
        CheckpointIndex = CheckpointIndex,
        QuarantinedAt = QuarantinedAt,
        StatesDifferAt = StatesDifferAt,
        LogPause = logPause,
        ApplyPause = applyPause,
    };
}
