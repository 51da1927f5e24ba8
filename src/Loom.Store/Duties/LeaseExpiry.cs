using Loom.Raft;
using Loom.Store.Applying;
using Loom.Store.Commands;
using Microsoft.Extensions.Logging;

namespace Loom.Store.Duties;

/// <summary>Carries out what <see cref="LeaseDuty"/> says, one proposal at a time, so that a cluster without a quorum is not flooded; and tells the time for answers.</summary>
internal sealed class LeaseExpiry(LoomStateMachine machine, TimeSpan heartbeat, Func<Command, CancellationToken, ValueTask<ProposalResult>> propose, ILogger log)
{
    private const long RetryMilliseconds = 1000;

    // With four looks a second a thousand leases end in one, as in etcd, unless their keys are many.
    private const int LeasesPerEntry = 250;
    private const int KeysPerEntry = 10_000;

    private readonly LeaseDuty duty = new(heartbeat);
    private readonly LeaseClock clock = new();
    private Task underWay = Task.CompletedTask;
    private long retryAt;

    /// <summary>Ends with the proposal that is under way.</summary>
    public Task UnderWay => underWay;

    /// <summary>Cluster time as well as this member can tell it, ns. Any thread.</summary>
    public long ClusterTime(long now, RaftNodeStatus raft) => clock.Read(now, raft);

    public void Look(long now, RaftNodeStatus raft, bool leads, CancellationToken stop)
    {
        // Those who do not lead keep their clock by it.
        _ = clock.Read(now, raft);
        LeaseOrder order = duty.Look(now, new LeasePicture
        {
            Leads = leads,
            Term = raft.Term,
            LogTime = raft.LogTime,
            AppliedTime = raft.ClusterTime,
            NextExpiry = machine.NextLeaseExpiry,
            Any = machine.Leases > 0,
        });
        if (order != LeaseOrder.Nothing && underWay.IsCompleted && now >= retryAt)
        {
            List<long> due = order == LeaseOrder.Expire ? machine.ReadLeases((leases, _) => leases.Due(raft.LogTime, LeasesPerEntry, KeysPerEntry)) : [];
            due.Sort();
            underWay = ProposeAsync(new LeaseExpireCommand(raft.Term, due), now, stop);
        }
    }

    /// <summary>Whether they are due is decided where the entry is applied (T5): one whose renewal went into the log before lives on.</summary>
    private async Task ProposeAsync(LeaseExpireCommand command, long now, CancellationToken stop)
    {
        try
        {
            await propose(command, stop).ConfigureAwait(false);
        }
        catch (Exception exception) when (exception is LoomException or RaftException or OperationCanceledException)
        {
            retryAt = now + RetryMilliseconds;
            log.LogDebug(exception, "{Count} leases could not be ended, and it will be tried again", command.Ids.Count);
        }
    }
}
