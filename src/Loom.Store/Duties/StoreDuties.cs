using System.Globalization;
using Loom.Raft;
using Loom.Raft.Consensus;
using Loom.Store.Applying;
using Loom.Store.Commands;
using Loom.Store.Model;
using Microsoft.Extensions.Logging;

namespace Loom.Store.Duties;

/// <summary>
/// What a replica does by time and not because somebody called: looks at space, compacts, ends leases, and forgets tokens that nobody uses. The decisions are <see cref="SpaceDuty"/>'s, <see cref="AutoCompaction"/>'s and <see cref="LeaseDuty"/>'s; this gives them
/// a clock and a disk, four times a second, and proposes what they ask for: one proposal of each at a time, so that a cluster without a quorum is not flooded.
/// It is at the edge, beside the facade: nothing below it knows of timers or tasks (T2).
/// </summary>
internal sealed class StoreDuties : IAsyncDisposable
{
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(250);
    private const long RetryMilliseconds = 1000;
    private const long TokenSweepMilliseconds = 5000;

    private readonly IRaftNode node;
    private readonly LoomStateMachine machine;
    private readonly Func<Command, CancellationToken, ValueTask<ProposalResult>> propose;
    private readonly Func<long>? freeBytes;
    private readonly TimeProvider time;
    private readonly ILogger log;
    private readonly SpaceDuty space;
    private readonly AutoCompaction compaction;
    private readonly LeaseExpiry leases;
    private readonly long tokenMilliseconds;
    private readonly Lock gate = new();
    private readonly CancellationTokenSource closing = new();
    private readonly Task looking;
    private Task spacing = Task.CompletedTask;
    private Task compacting = Task.CompletedTask;
    private Task raising = Task.CompletedTask;
    private Task accusing = Task.CompletedTask;
    private long accuseAt;
    private long sweepAt;
    private long spaceRetryAt;
    private volatile string? refusal;
    private long free = -1;

    /// <param name="node">The replica.</param>
    /// <param name="machine">Its state.</param>
    /// <param name="options">Quota, watermark, retention.</param>
    /// <param name="propose">Proposes a command, past the checks that these duties feed.</param>
    /// <param name="freeBytes">Free bytes of the data directory's file system; null: there is none.</param>
    /// <param name="time">The host's clock.</param>
    /// <param name="log">Each change of what is refused, once.</param>
    public StoreDuties(
        IRaftNode node, LoomStateMachine machine, LoomOptions options, Func<Command, CancellationToken, ValueTask<ProposalResult>> propose, Func<long>? freeBytes, TimeProvider time, ILogger log)
    {
        this.node = node;
        this.machine = machine;
        this.propose = propose;
        this.freeBytes = freeBytes;
        this.time = time;
        this.log = log;
        QuotaBytes = options.EffectiveQuotaBytes;
        tokenMilliseconds = (long)options.AuthTokenTimeToLive.TotalMilliseconds;
        space = new SpaceDuty(QuotaBytes, freeBytes is null ? 0 : options.MinFreeDiskBytes);
        compaction = new AutoCompaction(options.AutoCompactionPeriod, options.AutoCompactionRevisions);
        leases = new LeaseExpiry(machine, options.HeartbeatInterval, propose, log);
        looking = LookAsync(closing.Token);
    }

    /// <summary>Most bytes of state; 0: no quota.</summary>
    public long QuotaBytes { get; }

    /// <summary>Free bytes of the data directory's file system at the last look; -1: not known.</summary>
    public long FreeBytes => Volatile.Read(ref free);

    /// <summary>Why puts are refused on this member for the sake of disks, or null. Any thread.</summary>
    public string? Refusal => refusal;

    /// <summary>Cluster time as well as this member can tell it, ns. Any thread.</summary>
    public long ClusterTime => leases.ClusterTime(Now, node.Status);

    /// <summary>Whether a put of this cost would pass the quota. Any thread.</summary>
    public bool PassesQuota(long cost) => QuotaBytes <= 0 || machine.Current.Sizes.InUseBytes + cost < QuotaBytes;

    /// <summary>
    /// A put was refused by the quota: the alarm is raised for this member, once for all who ask; unless it would clear itself at once, because only this put is too large for what is left.
    /// Completes when it is raised, or cannot be for now.
    /// </summary>
    public Task RaiseQuotaAlarmAsync()
    {
        lock (gate)
        {
            if (raising.IsCompleted)
            {
                bool isDue = !machine.Alarms.Has(AlarmKind.NoSpace) && machine.Current.Sizes.InUseBytes >= space.ClearBelowBytes && !closing.IsCancellationRequested;
                raising = isDue ? RaiseAsync() : Task.CompletedTask;
            }

            return raising;
        }
    }

    /// <summary>Ends what runs. Proposals under way may still be applied.</summary>
    public async ValueTask DisposeAsync()
    {
        await closing.CancelAsync().ConfigureAwait(false);
        await looking.ConfigureAwait(false);
        Task last;
        lock (gate)
        {
            last = raising;
        }

        await Task.WhenAll(spacing, compacting, accusing, leases.UnderWay, last).ConfigureAwait(false);
        closing.Dispose();
    }

    private async Task LookAsync(CancellationToken stop)
    {
        try
        {
            using var timer = new PeriodicTimer(Interval, time);
            do
            {
                Look(stop);
            }
            while (await timer.WaitForNextTickAsync(stop).ConfigureAwait(false));
        }
        catch (OperationCanceledException)
        {
        }
#pragma warning disable CA1031 // Whatever it is: the replica goes on, and its operator must know what it does no more.
        catch (Exception exception)
#pragma warning restore CA1031
        {
            log.LogCritical(exception, "Looking after space, history and leases has ended on this member: alarms are no longer raised or cleared, history is not compacted by itself, and while it leads no lease ends. Restart it.");
        }
    }

    private void Look(CancellationToken stop)
    {
        long now = Now;
        if (now >= sweepAt)
        {
            sweepAt = now + TokenSweepMilliseconds;
            machine.Tokens.Sweep(now, tokenMilliseconds);
        }

        RaftNodeStatus raft = node.Status;
        if (raft.Failure is not null || raft.ClusterId == 0)
        {
            return;
        }

        StateGeneration state = machine.Current;
        bool leads = raft.Leader == raft.MemberId && !raft.NoQuorum;
        LookAtSpace(now, raft, state, leads, stop);
        leases.Look(now, raft, leads, stop);
        if (leads && raft.StatesDifferAt > 0 && accusing.IsCompleted && now >= accuseAt && !state.Alarms.Has(AlarmKind.Corrupt))
        {
            accuseAt = now + RetryMilliseconds;
            accusing = AccuseAsync(raft, stop);
        }

        if (compacting.IsCompleted && compaction.Look(now, leads, state.Revision, state.CompactRevision) is > 0 and long revision)
        {
            compacting = CompactAsync(revision, stop);
        }
    }

    private void LookAtSpace(long now, RaftNodeStatus raft, StateGeneration state, bool leads, CancellationToken stop)
    {
        long bytes = ReadFreeBytes();
        Volatile.Write(ref free, bytes == long.MaxValue ? -1 : bytes);
        SpaceOrders orders = space.Look(new SpacePicture
        {
            Self = raft.MemberId,
            Leads = leads,
            Configuration = node.Configuration,
            Peers = raft.Peers,
            Alarms = state.Alarms,
            InUseBytes = state.Sizes.InUseBytes,
            FreeBytes = bytes,
            Pause = raft.LogPause ?? raft.ApplyPause,
        });
        if (orders.Refusal != refusal)
        {
            Say(orders.Refusal, bytes);
            refusal = orders.Refusal;
        }

        if (spacing.IsCompleted && now >= spaceRetryAt && (orders.Alarms.Count > 0 || !orders.HandOverTo.IsNone))
        {
            spacing = CarryOutAsync(orders, stop);
        }
    }

    private long Now => (long)time.GetElapsedTime(0).TotalMilliseconds;

    private long ReadFreeBytes()
    {
        try
        {
            return freeBytes?.Invoke() ?? long.MaxValue;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or ArgumentException)
        {
            // What is not known is not low: the log and the records say by themselves when there is no space.
            return long.MaxValue;
        }
    }

    private async Task CarryOutAsync(SpaceOrders orders, CancellationToken stop)
    {
        // First others lead: with the lead goes what is proposed here.
        if (!orders.HandOverTo.IsNone)
        {
            log.LogWarning("The disk of this leader is low ({Free} bytes free): leadership is handed over (S6)", FreeBytes);
            await TryAsync(async () => await node.TransferLeadershipAsync(orders.HandOverTo, stop).ConfigureAwait(false)).ConfigureAwait(false);
        }

        foreach (AlarmCommand command in orders.Alarms)
        {
            if (await TryAsync(async () => await propose(command, stop).ConfigureAwait(false)).ConfigureAwait(false))
            {
                Say(command);
            }
        }

        // Raised or not, the table or the next look says so; what cannot be done now is tried again, not at every look.
        spaceRetryAt = Now + RetryMilliseconds;
    }

    private async Task RaiseAsync()
    {
        var command = new AlarmCommand(Raises: true, new Alarm(AlarmKind.NoSpace, node.Status.MemberId.Value, IsAutomatic: true));
        if (await TryAsync(async () => await propose(command, closing.Token).ConfigureAwait(false)).ConfigureAwait(false))
        {
            Say(command);
        }
    }

    /// <summary>S5: nobody can say whose state is right, so nothing more is built on any of them until an operator has decided.</summary>
    private async Task AccuseAsync(RaftNodeStatus raft, CancellationToken stop)
    {
        var command = new AlarmCommand(Raises: true, new Alarm(AlarmKind.Corrupt, raft.MemberId.Value, IsAutomatic: false));
        if (await TryAsync(async () => await propose(command, stop).ConfigureAwait(false)).ConfigureAwait(false))
        {
            log.LogCritical("The members' states differ at entry {Index} and no majority agrees (S5): the alarm CORRUPT stops writes. Compare the members (etcdctl endpoint hashkv, loom backup), keep the right one, empty the others one by one, and disarm the alarm", raft.StatesDifferAt);
        }
    }

    private async Task CompactAsync(long revision, CancellationToken stop)
    {
        bool refused = false;
        bool done = await TryAsync(async () =>
        {
            try
            {
                await propose(new CompactCommand(revision), stop).ConfigureAwait(false);
            }
            catch (LoomException exception) when (exception.Code == LoomErrorCode.Compacted)
            {
                // Somebody was faster.
                refused = true;
            }
        }).ConfigureAwait(false);
        if (done)
        {
            compaction.Done(Now);
        }

        if (done && !refused)
        {
            log.LogInformation("History up to revision {Revision} is compacted (automatic)", revision);
        }
    }

    /// <summary>False: not now. Who closes, or has no quorum, is told so by others; it is tried again.</summary>
    private async Task<bool> TryAsync(Func<Task> act)
    {
        try
        {
            await act().ConfigureAwait(false);
            return true;
        }
        catch (Exception exception) when (exception is LoomException or RaftException or OperationCanceledException)
        {
            log.LogDebug(exception, "A duty was not done, and will be tried again");
            return false;
        }
    }

    private void Say(string? why, long bytes)
    {
        if (why is null)
        {
            log.LogInformation("Puts are taken again: there is space");
        }
        else
        {
            log.LogWarning("Puts are refused here: {Why} ({Free} bytes are free here). Free disk; nothing else needs to be done", why, bytes == long.MaxValue ? "?" : bytes.ToString(CultureInfo.InvariantCulture));
        }
    }

    private void Say(AlarmCommand command)
    {
        Alarm alarm = command.Alarm;
        string whose = node.Configuration.Find(new MemberId(alarm.Member))?.Name ?? alarm.Member.ToString("x", CultureInfo.InvariantCulture);
        if (command.Raises)
        {
            log.LogWarning("Alarm {Kind} of {Member} is raised (state {InUse} bytes, quota {Quota}, {Free} bytes free)", alarm.Kind, whose, machine.Current.Sizes.InUseBytes, QuotaBytes, FreeBytes);
        }
        else
        {
            log.LogInformation("Alarm {Kind} of {Member} is over", alarm.Kind, whose);
        }
    }
}
