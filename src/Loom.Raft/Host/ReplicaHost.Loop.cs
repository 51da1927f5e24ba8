using System.Runtime.ExceptionServices;
using System.Runtime.InteropServices;
using Loom.Raft.Consensus;
using Loom.Raft.Membership;
using Loom.Raft.Proposals;
using Loom.Raft.Reads;
using Loom.Raft.Replica;
using Microsoft.Extensions.Logging;

namespace Loom.Raft.Host;

/// <content>The loop thread.</content>
internal sealed partial class ReplicaHost
{
    private const long StatusInterval = 100_000_000;

    private long statusAt;
    private bool failureSeen;
    private bool condemned;
    private long stallsLoggedAt = long.MinValue;

    private void Run()
    {
        try
        {
            if (!WaitUntilFormed()) return;
            writer!.Start();
            applier!.Start();
            snapshots?.Start();
            Turn();
        }
        catch (Exception e)
        {
            // The replica itself never throws; this is a bug of the host. Nobody else would answer the callers.
            OnFailure(e);
            Exception coming = CallErrors.Failed(e, WriteOutcome.NotApplied);
            ProposalCalls.FailAll(CallErrors.Failed(e, WriteOutcome.Unknown), coming);
            ReadCalls.FailAll(coming, coming);
            TransferCalls.FailAll(coming, coming);
        }
        finally
        {
            LeaveLoop();
        }
    }

    private bool WaitUntilFormed()
    {
        string? said = null;
        while (recovered is null)
        {
            if (stopping) return false;
            // Nothing takes events before there is a replica, and this one must not wait for it.
            if (inbox.Failure() is { } failure) ExceptionDispatchInfo.Throw(failure);
            if (formation.Decided is { } decided)
            {
                recovered = Form(decided);
                BuildReplica(recovered);
                break;
            }
            if (formation.Joining is { } decision)
            {
                BuildReplica(Join(decision));
                break;
            }
            if (formation.Wanted is { } proposal)
            {
                // On disk first, then said, and said to everybody at once: that is the second step of formation (E1).
                directory.Propose(proposal);
                formation.Hold(proposal);
                transport?.Redial();
                continue;
            }
            string? obstacle = formation.Obstacle;
            if (obstacle != said) log.LogInformation("Forming: {Obstacle}", said = obstacle);
            _ = wake.Wait(1_000_000_000);
        }
        board.Publish(replica!.CaptureStatus(), board.Configuration);
        return true;
    }

    private void Turn()
    {
        List<ReplicaEvent> events = [], spare = [];
        ReplicaEffects effects = replica!.Step(now(), Awake.Instance);
        CarryOut(effects, now());
        while (!stopping)
        {
            long due = Math.Min(effects.NextWake, statusAt + 10 * StatusInterval);
            long asleep = now();
            _ = wake.Wait(Math.Min(due - asleep, 1_000_000_000));
            events = inbox.TakeAll(spare);
            long woken = now();
            NoteStall(woken - Math.Max(due, asleep), "woke up late");
            // The messages that arrived come first, then the look at the clock: a paused process reads its leader's heartbeats before it doubts it.
            events.Add(Awake.Instance);
            effects = replica.Step(woken, CollectionsMarshal.AsSpan(events));
            CarryOut(effects, woken);
            events.Clear();
            spare = events;
            NoteStall(now() - woken, "was busy");
        }
        // The flag may have come before Closing was taken: it is that step which tells every caller what is known of its write (P3).
        effects = replica.Step(now(), CollectionsMarshal.AsSpan(inbox.TakeAll(spare)));
        AnswerAll(effects);
        Discard(effects);
    }

    private void CarryOut(ReplicaEffects effects, long at)
    {
        // First what others wait for: the disk is the longest way, then the network, then the applier.
        if (effects.LogWork && recovered!.Log.TakeBatch() is { } batch)
        {
            writer!.Give(batch);
            load.Written(at);
        }
        if (recovered!.Log.PendingBytes > 0) load.Queued(at);
        foreach (Message message in effects.Control) transport?.Send(message);
        foreach (ForwardMessage message in effects.Forward) transport?.Send(message);
        foreach (ApplyWork work in effects.Apply) applier!.Give(work);
        if (effects.Install is { } state) applier!.Give(state);
        foreach (CaptureRequested capture in effects.Captures) applier!.Give(capture);
        if (effects.SnapshotWanted) snapshots?.Want(replica!.WantedSnapshot);
        Discard(effects);
        if (effects.Failure is { } failure && !failureSeen) OnFailure(failure);
        if (replica!.QuarantinedAt > 0 && !condemned) Condemn(replica.QuarantinedAt);
        condemned &= replica.QuarantinedAt > 0;
        if (effects.Unfit) log.LogWarning("The disk or the applier of this leader hangs while a majority goes on without it: leadership is handed over (E8). Look at the disk of {Directory}", directory.Path);
        // Before anyone is answered: a caller that reads the status finds its own write in it.
        Publish(effects, at);
        AnswerAll(effects);
        if (at >= improveAt) Improve(at);
        LookAround();
    }

    private void Discard(ReplicaEffects effects)
    {
        foreach (DiscardedSnapshot discarded in effects.Discarded)
        {
            log.LogInformation("The snapshot that was collected is not installed: {Reason}", discarded.Reason);
            snapshots?.Settled(discarded.Installation);
        }
    }

    private static void AnswerAll(ReplicaEffects effects)
    {
        foreach (ProposalCompletion completion in effects.Proposals) Complete(completion);
        foreach (ReadCompletion completion in effects.Reads) Complete(completion);
        foreach (TransferCompletion completion in effects.Transfers) Complete(completion);
    }

    /// <summary>Each change once: the member looks well otherwise.</summary>
    private void SayPause(string what, string? before, string? now)
    {
        if (before is null && now is not null) log.LogWarning("The {What} takes nothing in, there is no space: {Reason}. It goes on by itself when there is (S6)", what, now);
        else if (before is not null && now is null) log.LogInformation("The {What} goes on: there is space", what);
    }

    private void Publish(ReplicaEffects effects, long at)
    {
        RaftNodeStatus last = board.Status;
        ReplicaCore core = replica!;
        if (!effects.StatusChanged && at < statusAt && core.Applied == last.AppliedIndex && core.Core.Commit == last.CommitIndex) return;
        statusAt = at + StatusInterval;
        Configuration configuration = core.Core.Configuration;
        TellFormation(core.Core, configuration);
        RaftNodeStatus status = core.CaptureStatus();
        SayPause("log", last.LogPause, status.LogPause);
        SayPause("state machine", last.ApplyPause, status.ApplyPause);
        board.Publish(status, configuration);
    }

    private static void Complete(ProposalCompletion completion)
    {
        var call = (Call<ProposalResult>)completion.Request.Caller!;
        if (completion.Succeeded) call.Succeed(completion.Result);
        else call.Fail(CallErrors.Of(completion.Error, completion.Known, completion.Id.Session == 0 ? null : $"id {completion.Id.Session}/{completion.Id.Sequence}"));
    }

    private static void Complete(ReadCompletion completion)
    {
        var call = (Call<long>)completion.Request.Caller!;
        if (completion.Succeeded) call.Succeed(completion.Index);
        else call.Fail(CallErrors.Of(completion.Error, WriteOutcome.NotApplied));
    }

    private static void Complete(TransferCompletion completion)
    {
        var call = (Call<bool>)completion.Request.Caller!;
        if (completion.Error == 0) call.Succeed(true);
        else call.Fail(CallErrors.Of(completion.Error, WriteOutcome.NotApplied));
    }

    private void OnFailure(Exception failure)
    {
        failureSeen = true;
        log.LogCritical(failure, "This member has failed and acknowledges nothing more");
        board.Publish(board.Status with { Role = "failed", Failure = failure.Message }, board.Configuration);
        // The others shall not wait for a silent leader: broken connections and a closed port tell them at once (E2). Whoever disposes of us waits for the threads, not the loop.
        transport?.Close();
    }

    /// <summary>S5. In the loop's own time: nothing of the state may be served from here on, and the file that says so is small.</summary>
    private void Condemn(long index)
    {
        condemned = true;
        log.LogCritical("The state of this member differs from that of the majority at entry {Index} (S5). It serves no reads and takes no writes until its state is replaced by a healthy member's; keep its data directory if you want to learn why", index);
        machine.Condemn();
    }

    private void NoteStall(long nanoseconds, string how)
    {
        if (nanoseconds <= options.ElectionTimeout.Ticks * 100 / 4) return;
        board.LoopStalls++;
        if (now() - stallsLoggedAt < 1_000_000_000) return;
        stallsLoggedAt = now();
        log.LogWarning("The loop {How} by {Milliseconds} ms, more than a quarter of the election timeout ({Stalls} so far): the machine or the process was held up", how, nanoseconds / 1_000_000, board.LoopStalls);
    }
}
