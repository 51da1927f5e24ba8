using Loom.Raft;
using Loom.Store.Commands;
using Loom.Store.Machine;
using Loom.Store.Model;

namespace Loom.Store;

/// <summary>
/// Renewals on their way to the log, many in one entry: while <see cref="MaxUnderWay"/> entries are under way, what is asked for gathers, and goes together when one of them is applied.
/// So a single renewal waits for nothing, and ten thousand a second take a few hundred entries. A lease that waits already is not asked for twice.
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
    private SortedDictionary<long, TaskCompletionSource<LeaseRenewal>> waiting = [];
    private int underWay;

    public Task<LeaseRenewal> RenewAsync(long id, CancellationToken cancellationToken)
    {
        Task<LeaseRenewal> answer;
        bool starts = false;
        lock (gate)
        {
            if (!waiting.TryGetValue(id, out TaskCompletionSource<LeaseRenewal>? source))
            {
                if (waiting.Count >= maxWaiting)
                {
                    throw Faults.TooManyRenewals(maxWaiting);
                }

                waiting.Add(id, source = new TaskCompletionSource<LeaseRenewal>(TaskCreationOptions.RunContinuationsAsynchronously));
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
        while (Take() is { } batch)
        {
            long[] ids = [.. batch.Keys];
            try
            {
                RenewResult result = await ProposeAsync(new LeaseRenewCommand(ids)).ConfigureAwait(false);
                for (int i = 0; i < ids.Length; i++)
                {
                    batch[ids[i]].SetResult(new LeaseRenewal(result.Revision, ids[i], TimeSpan.FromSeconds(result.Seconds[i])));
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

    /// <summary>The next batch, the lowest ids first; null: nothing waits, and this sender ends.</summary>
    private SortedDictionary<long, TaskCompletionSource<LeaseRenewal>>? Take()
    {
        lock (gate)
        {
            if (waiting.Count == 0)
            {
                underWay--;
                return null;
            }

            if (waiting.Count <= CommandLimits.MaxLeases)
            {
                (SortedDictionary<long, TaskCompletionSource<LeaseRenewal>> all, waiting) = (waiting, []);
                return all;
            }

            SortedDictionary<long, TaskCompletionSource<LeaseRenewal>> batch = [];
            foreach ((long id, TaskCompletionSource<LeaseRenewal> source) in waiting.Take(CommandLimits.MaxLeases))
            {
                batch.Add(id, source);
            }

            foreach (long id in batch.Keys)
            {
                waiting.Remove(id);
            }

            return batch;
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
}
