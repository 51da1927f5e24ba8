using System.Globalization;
using System.Runtime.CompilerServices;
using System.Text;
using Loom.Store.Model;
using static Loom.Store.Conditions;

namespace Loom.Store.Collections;

/// <summary>
/// The line in which etcd's recipes for locks and elections wait, key by key as they lay it out: each claim is a key <c>NAME/hex(lease)</c>, the oldest one comes first, and every other waits for the one right
/// before it to go. So <c>etcdctl lock</c>, <c>etcdctl elect</c>, Go's <c>concurrency</c> package, the services v3lock and v3election and <see cref="LoomLock"/> exclude each other. This type keeps no lease alive:
/// that is its caller's part (<see cref="LoomLock"/> and <see cref="LoomElection"/> do it by themselves).
/// </summary>
/// <remarks>
/// A name must not be another one's beginning up to a <c>/</c>: claims of <c>a/b</c> stand in the line of <c>a</c> as well. It is so in etcd.
/// <para>Whether a claim comes first may be read from any replica's state: create revisions only grow, so once nobody is before it, nobody ever will be (F3).</para>
/// </remarks>
public sealed class ClaimLine
{
    private const long OwnKey = 0;
    private const long KeyBefore = 1;
    private const int MaxBrokenWatches = 5;
    private const int MaxLostAnswers = 3;

    private readonly ILoomStore store;
    private readonly byte[] prefix;

    /// <summary>The line of a name.</summary>
    public ClaimLine(ILoomStore store, ReadOnlyMemory<byte> name)
    {
        ArgumentNullException.ThrowIfNull(store);
        this.store = store;
        prefix = [.. name.Span, (byte)'/'];
    }

    /// <summary>The key of a claim with this lease.</summary>
    public ReadOnlyMemory<byte> KeyOf(long lease)
    {
        // As Go prints an int64: the digits of its amount behind its sign.
        string digits = lease < 0
            ? "-" + unchecked((ulong)-lease).ToString("x", CultureInfo.InvariantCulture)
            : lease.ToString("x", CultureInfo.InvariantCulture);
        return (byte[])[.. prefix, .. Encoding.ASCII.GetBytes(digits)];
    }

    /// <summary>Puts a claim at the end of the line, or finds the one that this lease has in it already, whatever that holds. Asking twice does no harm: after an unknown outcome, ask again.</summary>
    /// <exception cref="LoomException">LeaseNotFound, and what every write may meet.</exception>
    public async ValueTask<Claim> EnterAsync(long lease, ReadOnlyMemory<byte> value, CancellationToken cancellationToken = default)
    {
        ReadOnlyMemory<byte> key = KeyOf(lease);
        Transaction enter = new([Missing(key)], [new PutOperation(key, value) { Lease = lease }], [new RangeOperation(new RangeQuery(KeyRange.Single(key)))]);
        for (int lost = 0; ; lost++)
        {
            TransactionResult result = await store.TransactAsync(enter, null, cancellationToken).ConfigureAwait(false);
            if (result.Succeeded)
            {
                return new Claim(key, result.Revision.Number, lease, value, result.Revision, Entered: true);
            }

            if (result.Results is [RangeOperationResult { Result.Pairs: [KeyValue pair] }])
            {
                return new Claim(key, pair.CreateRevision, lease, pair.Value, result.Revision, Entered: false);
            }

            // A retry of the node's met its first application, and what that read is gone (P2): it is asked once more.
            if (lost == MaxLostAnswers)
            {
                throw new OutcomeUnknownException(LoomErrorCode.DeadlineExceeded, "LOOM1009: the claim stands, but the way to the leader broke again and again, and its place is not known. Enter again.");
            }
        }
    }

    /// <summary>Waits until the claim comes first, and returns the revision at which it was seen to. Only the deletion of the claim right before it wakes a waiter up, so nobody starves and no herd runs.</summary>
    /// <exception cref="LoomException">ClaimLost: the claim's own key has gone, with its lease or by somebody's hand. Or the member that waits has stopped or failed.</exception>
    public async ValueTask<Revision> WaitAsync(Claim claim, CancellationToken cancellationToken = default) =>
        await TryWaitAsync(claim, cancellationToken, cancellationToken).ConfigureAwait(false);

    /// <summary>Rewrites the value of a claim's key, with its lease, as long as it is that claim's.</summary>
    /// <returns>Whether it was, and the revision.</returns>
    public async ValueTask<(bool Holds, Revision Revision)> ProclaimAsync(Claim claim, ReadOnlyMemory<byte> value, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(claim);
        return await GuardedAsync(claim, new PutOperation(claim.Key, value) { Lease = claim.Lease }, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Takes a claim out of the line, if it is still in it; its lease stays.</summary>
    /// <returns>Whether it was, and the revision.</returns>
    public async ValueTask<(bool Held, Revision Revision)> LeaveAsync(Claim claim, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(claim);
        return await GuardedAsync(claim, new DeleteOperation(KeyRange.Single(claim.Key)), cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Who comes first; null: nobody claims. Default consistency: linearizable.</summary>
    public async ValueTask<LeaderSeen?> FirstAsync(ReadConsistency? consistency = null, CancellationToken cancellationToken = default)
    {
        RangeResult range = await store.RangeAsync(First, consistency ?? ReadConsistency.Linearizable, cancellationToken).ConfigureAwait(false);
        return range.Pairs is [KeyValue leader] ? new LeaderSeen(leader, range.Revision) : null;
    }

    /// <summary>
    /// Follows who comes first: at once if somebody does, then each time that another one does or that the first one's value is put again. Of values that follow each other quickly none is left out while the watch
    /// lives; where history was compacted meanwhile, it goes on with what is there.
    /// </summary>
    /// <exception cref="LoomException">The member has stopped or failed.</exception>
    public async IAsyncEnumerable<LeaderSeen> ObserveAsync([EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        LeaderSeen? last = null;
        while (true)
        {
            RangeResult range = await store.RangeAsync(First, ReadConsistency.Linearizable, cancellationToken).ConfigureAwait(false);
            LeaderSeen? seen = range.Pairs is [KeyValue first] ? new LeaderSeen(first, range.Revision) : null;
            if (seen is not null && seen.Leader.ModRevision != last?.Leader.ModRevision)
            {
                yield return last = seen;
            }

            // Nobody: whoever claims first. Somebody: what becomes of him.
            WatchQuery query = new(seen is null ? KeyRange.Prefix(prefix) : KeyRange.Single(seen.Leader.Key)) { From = range.Revision.Next };
            bool goesOn = true;
            await using LoomWatchStream stream = store.OpenWatches();
            stream.Add(OwnKey, query);
            while (goesOn && await stream.WaitToReadAsync(cancellationToken).ConfigureAwait(false))
            {
                if (!stream.TryRead(out WatchMessage? message))
                {
                    continue;
                }

                if (message!.End is { } end)
                {
                    RequireResumable(end);
                    break;
                }

                foreach (WatchEvent change in message.Batch!.Events)
                {
                    if (seen is null || change.Kind == WatchEventKind.Delete)
                    {
                        goesOn = false;
                        break;
                    }

                    yield return last = new LeaderSeen(change.Pair, message.Batch.Current);
                }
            }
        }
    }

    /// <summary>As <see cref="WaitAsync"/>; <paramref name="patience"/> ends only the waiting: a claim that comes first already is found whatever it says.</summary>
    internal async ValueTask<Revision> TryWaitAsync(Claim claim, CancellationToken patience, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(claim);
        for (int broken = 0; ; broken++)
        {
            (ReadOnlyMemory<byte> before, Revision at) = await LookAsync(claim, cancellationToken).ConfigureAwait(false);
            if (before.IsEmpty)
            {
                return at;
            }

            LoomException? end = await ChangeAsync(claim.Key, before, at, patience).ConfigureAwait(false);
            if (end is null)
            {
                broken = -1;
            }
            else if (broken == MaxBrokenWatches)
            {
                throw end;
            }
        }
    }

    private RangeQuery First => new(KeyRange.Prefix(prefix)) { Limit = 1, SortOrder = SortOrder.Ascend, SortTarget = SortTarget.Create };

    /// <summary>The key right before a claim (empty: none), and the revision at which both were looked at.</summary>
    private async ValueTask<(ReadOnlyMemory<byte> Before, Revision At)> LookAsync(Claim claim, CancellationToken cancellationToken)
    {
        RangeQuery before = new(KeyRange.Prefix(prefix))
        {
            Limit = 1,
            SortOrder = SortOrder.Descend,
            SortTarget = SortTarget.Create,
            MaxCreateRevision = claim.CreateRevision - 1,
            KeysOnly = true,
        };
        Transaction look = new([], [new RangeOperation(new RangeQuery(KeyRange.Single(claim.Key)) { KeysOnly = true }), new RangeOperation(before)], []);
        TransactionResult result = await store.TransactAsync(look, ReadConsistency.AtLeast(claim.Revision), cancellationToken).ConfigureAwait(false);
        if (result.Results is not [RangeOperationResult { Result.Pairs: [KeyValue own] }, RangeOperationResult { Result.Pairs: var others }] || own.CreateRevision != claim.CreateRevision)
        {
            throw FenceFaults.ClaimLost(claim.Key);
        }

        return (others is [KeyValue other] ? other.Key : default, result.Revision);
    }

    /// <summary>Waits until a claim or the one before it is deleted. Null: one was; else why the watch cannot tell.</summary>
    private async ValueTask<LoomException?> ChangeAsync(ReadOnlyMemory<byte> own, ReadOnlyMemory<byte> before, Revision at, CancellationToken cancellationToken)
    {
        await using LoomWatchStream stream = store.OpenWatches();
        stream.Add(OwnKey, new WatchQuery(KeyRange.Single(own)) { From = at.Next, Puts = false });
        stream.Add(KeyBefore, new WatchQuery(KeyRange.Single(before)) { From = at.Next, Puts = false });
        while (await stream.WaitToReadAsync(cancellationToken).ConfigureAwait(false))
        {
            if (!stream.TryRead(out WatchMessage? message))
            {
                continue;
            }

            if (message!.End is { } end)
            {
                RequireResumable(end);
                return end;
            }

            if (!message.Batch!.IsProgress)
            {
                return null;
            }
        }

        throw Faults.Closed();
    }

    private async ValueTask<(bool Held, Revision Revision)> GuardedAsync(Claim claim, Operation operation, CancellationToken cancellationToken)
    {
        TransactionResult result = await store.TransactAsync(new Transaction([CreateRevision(claim.Key) == claim.CreateRevision], [operation], []), null, cancellationToken).ConfigureAwait(false);
        return (result.Succeeded, result.Revision);
    }

    /// <summary>A watch that lost its history is begun anew from what is there; a member that ends serves no other one.</summary>
    internal static void RequireResumable(LoomException end)
    {
        if (end.Code is not (LoomErrorCode.Compacted or LoomErrorCode.NewEpoch or LoomErrorCode.WatchLost))
        {
            throw end;
        }
    }
}
