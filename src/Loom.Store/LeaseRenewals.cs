using Loom.Raft;
using Loom.Store.Commands;
using Loom.Store.Machine;
using Loom.Store.Model;
using Loom.Store.Reads;

namespace Loom.Store;

/// <summary>
/// Renewals on their way to the log, many in one entry: while a caller's entry is under way, what he asks for gathers, and goes together when it is applied. So a single renewal waits for nothing, and a
/// hundred thousand a second take some hundred entries. A lease that waits already is not asked for twice. An entry is one caller's, who must be allowed to; no caller waits for another one's entry, up to
/// <see cref="MaxUnderWay"/> of them at a time, then they take turns. An entry that is slow (its message was lost, or the way is long) is not waited for by what came after it.
/// Bounded: so many leases in all, and a quarter of that for one caller where there are several; then a new one is refused.
/// </summary>
/// <param name="propose">Proposes a command.</param>
/// <param name="maxWaiting">Leases that may wait.</param>
/// <param name="slow">Time under way after which an entry is not waited for; null: 200 ms.</param>
internal sealed class LeaseRenewals(Func<Command, CancellationToken, ValueTask<ProposalResult>> propose, int maxWaiting = 65_536, TimeSpan? slow = null)
{
    /// <summary>Entries of all callers that are under way at most.</summary>
    public const int MaxUnderWay = 16;

    private const int MaxOfOne = 4;

    /// <summary>Leases in one entry from which on the next is held back a little.</summary>
    private const int Many = 16;

    private static readonly TimeSpan Gathering = TimeSpan.FromMilliseconds(1);

    private readonly long slowMilliseconds = (long)(slow ?? TimeSpan.FromMilliseconds(200)).TotalMilliseconds;
    private readonly Lock gate = new();
    private readonly Dictionary<ValueTuple<Caller?>, Line> lines = [];
    private readonly Queue<Line> turns = new();
    private int waiting;
    private int underWay;

    /// <exception cref="LoomException">PermissionDenied, and AuthRevisionOld, which asks for another try.</exception>
    public Task<LeaseRenewal> RenewAsync(Caller? caller, long id, CancellationToken cancellationToken)
    {
        Task<LeaseRenewal> answer;
        Line line;
        Batch? starts = null;
        lock (gate)
        {
            line = LineOf(caller);
            if (!line.Waiting.TryGetValue(id, out TaskCompletionSource<LeaseRenewal>? source))
            {
                int limit = caller is null ? maxWaiting : maxWaiting / 4;
                if (waiting >= maxWaiting || line.Waiting.Count >= limit)
                {
                    Forget(line);
                    throw Faults.TooManyRenewals(limit);
                }

                line.Waiting.Add(id, source = new TaskCompletionSource<LeaseRenewal>(TaskCreationOptions.RunContinuationsAsynchronously));
                waiting++;
            }

            answer = source.Task;
            if (line.UnderWay > 0 && (line.UnderWay == MaxOfOne || Environment.TickCount64 - line.Since < slowMilliseconds))
            {
                // It goes with the next one.
            }
            else if (underWay < MaxUnderWay)
            {
                underWay++;
                starts = Take(line);
            }
            else if (!line.IsInTurn)
            {
                line.IsInTurn = true;
                turns.Enqueue(line);
            }
        }

        if (starts is not null)
        {
            _ = SendAsync(starts);
        }

        return answer.WaitAsync(cancellationToken);
    }

    /// <summary>Sends a batch, and what waits then, until nothing does. Never throws: whoever waits gets the error.</summary>
    private async Task SendAsync(Batch first)
    {
        for (Batch? batch = first; batch is not null; batch = Next(batch.Line))
        {
            long[] ids = [.. batch.Leases.Keys];
            try
            {
                RenewResult result = await ProposeAsync(new LeaseRenewCommand(ids) { Caller = batch.Line.Caller }).ConfigureAwait(false);
                for (int i = 0; i < ids.Length; i++)
                {
                    Answer(batch.Leases[ids[i]], result.Revision, ids[i], result.Seconds[i]);
                }
            }
#pragma warning disable CA1031 // Whatever it is, it is the callers': nobody else awaits this.
            catch (Exception exception)
#pragma warning restore CA1031
            {
                foreach (TaskCompletionSource<LeaseRenewal> source in batch.Leases.Values)
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

    private Line LineOf(Caller? caller)
    {
        if (!lines.TryGetValue(new(caller), out Line? line))
        {
            lines.Add(new(caller), line = new Line(caller));
        }

        return line;
    }

    /// <summary>An entry of a line has been applied: the next batch, of the line whose turn it is; null: nothing waits, and this sender ends.</summary>
    private Batch? Next(Line line)
    {
        lock (gate)
        {
            line.UnderWay--;
            if (line.Waiting.Count > 0 && !line.IsInTurn)
            {
                line.IsInTurn = true;
                turns.Enqueue(line);
            }
            Forget(line);
            while (turns.TryDequeue(out Line? next))
            {
                next.IsInTurn = false;
                if (next.Waiting.Count > 0)
                {
                    return Take(next);
                }
            }

            underWay--;
            return null;
        }
    }

    private void Forget(Line line)
    {
        if (line.UnderWay == 0 && line.Waiting.Count == 0)
        {
            lines.Remove(new(line.Caller));
        }
    }

    /// <summary>What waits in a line, the lowest ids first, as many as one entry may hold.</summary>
    private Batch Take(Line line)
    {
        SortedDictionary<long, TaskCompletionSource<LeaseRenewal>> batch = line.Waiting;
        if (batch.Count <= CommandLimits.MaxLeases)
        {
            line.Waiting = [];
        }
        else
        {
            batch = [];
            foreach ((long id, TaskCompletionSource<LeaseRenewal> source) in line.Waiting.Take(CommandLimits.MaxLeases))
            {
                batch.Add(id, source);
            }

            foreach (long id in batch.Keys)
            {
                line.Waiting.Remove(id);
            }
        }

        waiting -= batch.Count;
        line.UnderWay++;
        line.Since = Environment.TickCount64;
        return new Batch(line, batch);
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

    /// <summary>What one caller waits for. There is one while something waits or is under way.</summary>
    private sealed class Line(Caller? caller)
    {
        public Caller? Caller => caller;

        public SortedDictionary<long, TaskCompletionSource<LeaseRenewal>> Waiting { get; set; } = [];

        public int UnderWay { get; set; }

        /// <summary>When its newest entry went.</summary>
        public long Since { get; set; }

        public bool IsInTurn { get; set; }
    }

    private sealed record Batch(Line Line, SortedDictionary<long, TaskCompletionSource<LeaseRenewal>> Leases);
}
