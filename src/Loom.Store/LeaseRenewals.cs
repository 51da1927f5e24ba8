using Loom.Raft;
using Loom.Store.Commands;
using Loom.Store.Machine;
using Loom.Store.Model;
using Loom.Store.Reads;

namespace Loom.Store;

/// <summary>
/// Renewals on their way to the log, many in one entry: while <see cref="MaxUnderWay"/> entries are under way, what is asked for gathers, and goes together when one of them is applied.
/// So a single renewal waits for nothing, and ten thousand a second take a few hundred entries. A lease that waits already is not asked for twice. An entry is one caller's, who must be allowed to;
/// callers take turns.
/// Bounded: so many leases, then a new one is refused.
/// </summary>
/// <param name="propose">Proposes a command.</param>
/// <param name="maxWaiting">Leases that may wait.</param>
internal sealed class LeaseRenewals(Func<Command, CancellationToken, ValueTask<ProposalResult>> propose, int maxWaiting = 65_536)
{
    public const int MaxUnderWay = 1;

    /// <summary>Leases in one entry from which on the next is held back a little.</summary>
    private const int Many = 16;

    private static readonly TimeSpan Gathering = TimeSpan.FromMilliseconds(1);

    private readonly Lock gate = new();
    private readonly List<Queue> turns = [];
    private int waiting;
    private int underWay;

    /// <exception cref="LoomException">PermissionDenied, and AuthRevisionOld, which asks for another try.</exception>
    public Task<LeaseRenewal> RenewAsync(Caller? caller, long id, CancellationToken cancellationToken)
    {
        Task<LeaseRenewal> answer;
        bool starts = false;
        lock (gate)
        {
            Queue? queue = turns.Find(one => one.Caller == caller);
            if (queue is null || !queue.Leases.TryGetValue(id, out TaskCompletionSource<LeaseRenewal>? source))
            {
                if (waiting >= maxWaiting)
                {
                    throw Faults.TooManyRenewals(maxWaiting);
                }

                if (queue is null)
                {
                    turns.Add(queue = new Queue(caller, []));
                }

                queue.Leases.Add(id, source = new TaskCompletionSource<LeaseRenewal>(TaskCreationOptions.RunContinuationsAsynchronously));
                waiting++;
            }

            answer = source.Task;
            if (underWay < MaxUnderWay)
            {
                underWay++;
                starts = true;
            }
        }

        if (starts)
        {
            _ = SendAsync();
        }

        return answer.WaitAsync(cancellationToken);
    }

    /// <summary>Sends what waits until nothing does. Never throws: whoever waits gets the error.</summary>
    private async Task SendAsync()
    {
        while (Take() is { } taken)
        {
            (Caller? caller, SortedDictionary<long, TaskCompletionSource<LeaseRenewal>> batch) = taken;
            long[] ids = [.. batch.Keys];
            try
            {
                RenewResult result = await ProposeAsync(new LeaseRenewCommand(ids) { Caller = caller }).ConfigureAwait(false);
                for (int i = 0; i < ids.Length; i++)
                {
                    Answer(batch[ids[i]], result.Revision, ids[i], result.Seconds[i]);
                }
            }
#pragma warning disable CA1031 // Whatever it is, it is the callers': nobody else awaits this.
            catch (Exception exception)
#pragma warning restore CA1031
            {
                foreach (TaskCompletionSource<LeaseRenewal> source in batch.Values)
                {
                    source.TrySetException(exception);

                    // Its callers may have gone: looked at, it is not reported as an error that nobody saw.
                    _ = source.Task.Exception;
                }
            }

            // Many at a time are many the next time, too: an entry costs as much as hundreds of renewals, and what gathers shares one.
            if (ids.Length >= Many)
            {
                await Task.Delay(Gathering).ConfigureAwait(false);
            }
        }
    }

    private static void Answer(TaskCompletionSource<LeaseRenewal> source, Revision revision, long id, long seconds)
    {
        if (seconds != RenewResult.Denied)
        {
            source.SetResult(new LeaseRenewal(revision, id, TimeSpan.FromSeconds(seconds)));
            return;
        }

        source.SetException(Refusals.ToException(LoomErrorCode.PermissionDenied));
        _ = source.Task.Exception;
    }

    /// <summary>The next batch: of the caller whose turn it is, the lowest ids first; null: nothing waits, and this sender ends.</summary>
    private Queue? Take()
    {
        lock (gate)
        {
            if (turns.Count == 0)
            {
                underWay--;
                return null;
            }

            Queue queue = turns[0];
            turns.RemoveAt(0);
            if (queue.Leases.Count <= CommandLimits.MaxLeases)
            {
                waiting -= queue.Leases.Count;
                return queue;
            }

            SortedDictionary<long, TaskCompletionSource<LeaseRenewal>> batch = [];
            foreach ((long id, TaskCompletionSource<LeaseRenewal> source) in queue.Leases.Take(CommandLimits.MaxLeases))
            {
                batch.Add(id, source);
            }

            foreach (long id in batch.Keys)
            {
                queue.Leases.Remove(id);
            }

            waiting -= batch.Count;
            turns.Add(queue);
            return queue with { Leases = batch };
        }
    }

    /// <summary>A retry of the node's that met its own first application has lost the answer (P2). To renew once more does no harm, and has one.</summary>
    private async ValueTask<RenewResult> ProposeAsync(LeaseRenewCommand command)
    {
        for (int tries = 0; ; tries++)
        {
            ProposalResult answer = await propose(command, CancellationToken.None).ConfigureAwait(false);
            if (answer.Result is RenewResult result)
            {
                return result;
            }

            if (tries == 3)
            {
                throw new OutcomeUnknownException(
                    LoomErrorCode.DeadlineExceeded, "LOOM1009: the leases were renewed as far as they exist, but the way to the leader broke again and again, and the answer is lost. Renew them again.");
            }
        }
    }

    private sealed record Queue(Caller? Caller, SortedDictionary<long, TaskCompletionSource<LeaseRenewal>> Leases);
}
