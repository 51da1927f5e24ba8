using Loom.Store.Model;

namespace Loom.Store.Collections;

/// <summary>
/// Writes under a fence: each one carries the condition that its holder's claim stands into the log, where every replica checks it in the same step in which it applies the write. A holder that was paused, cut off
/// or believed dead, and goes on after another one has taken over, cannot write, whatever it knows. Safe from any thread; as durable and visible as writes of <see cref="ILoomStore"/>.
/// </summary>
/// <remarks>
/// A refused write throws <see cref="FenceLostException"/> (not applied). A transaction whose own conditions do not hold is an answer, as always: <see cref="TransactionResult.Succeeded"/> is false then.
/// The fence takes one of a transaction's 128 conditions, and one of the 128 operations of its failure branch; a failure branch that writes counts with the longest of the other lists, as a nested transaction does.
/// Nested transactions stand under the fence of the whole.
/// </remarks>
public sealed class FencedStore
{
    private readonly ILoomStore store;
    private readonly Fence fence;
    private readonly Action? lost;
    private bool knowsEpoch;

    /// <summary>Writes under a token, which may have come from another process: a holder may let others work under its claim.</summary>
    public FencedStore(ILoomStore store, FencingToken token)
        : this(store, token, knowsEpoch: false, lost: null)
    {
    }

    internal FencedStore(ILoomStore store, FencingToken token, bool knowsEpoch, Action? lost)
    {
        ArgumentNullException.ThrowIfNull(store);
        ArgumentNullException.ThrowIfNull(token);
        this.store = store;
        this.lost = lost;
        this.knowsEpoch = knowsEpoch;
        fence = new Fence(token);
    }

    /// <summary>What each write shows.</summary>
    public FencingToken Token => fence.Token;

    /// <summary>Puts a value; returns its revision.</summary>
    /// <exception cref="FenceLostException">The claim does not stand any more; not applied.</exception>
    public async ValueTask<Revision> PutAsync(ReadOnlyMemory<byte> key, ReadOnlyMemory<byte> value, long lease = 0, CancellationToken cancellationToken = default) =>
        (await PutAsync(new PutOperation(key, value) { Lease = lease }, cancellationToken).ConfigureAwait(false)).Revision;

    /// <summary>Put with every option.</summary>
    /// <exception cref="FenceLostException">The claim does not stand any more; not applied.</exception>
    public async ValueTask<PutResult> PutAsync(PutOperation put, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(put);
        TransactionResult result = await WriteAsync(put, cancellationToken).ConfigureAwait(false);
        return result.Results is [PutResult answer] ? answer : new PutResult(result.Revision, null, Deduplicated: true);
    }

    /// <summary>Deletes a key or range. Of a repeated one (<see cref="DeleteResult.Deduplicated"/>) the count is not known and 0.</summary>
    /// <exception cref="FenceLostException">The claim does not stand any more; not applied.</exception>
    public async ValueTask<DeleteResult> DeleteAsync(DeleteOperation delete, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(delete);
        TransactionResult result = await WriteAsync(delete, cancellationToken).ConfigureAwait(false);
        return result.Results is [DeleteResult answer] ? answer : new DeleteResult(result.Revision, 0, [], Deduplicated: true);
    }

    /// <summary>Deletes a key or range.</summary>
    /// <exception cref="FenceLostException">The claim does not stand any more; not applied.</exception>
    public ValueTask<DeleteResult> DeleteAsync(KeyRange range, CancellationToken cancellationToken = default) => DeleteAsync(new DeleteOperation(range), cancellationToken);

    /// <summary>Runs a transaction under the fence. One that only reads takes no log entry, and is linearizable, the fence included.</summary>
    /// <exception cref="FenceLostException">The claim does not stand any more; not applied.</exception>
    public async ValueTask<TransactionResult> TransactAsync(Transaction transaction, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(transaction);
        await RequireEpochAsync(cancellationToken).ConfigureAwait(false);
        TransactionResult result = await store.TransactAsync(fence.Around(transaction), null, cancellationToken).ConfigureAwait(false);
        if (result is { Succeeded: false, Deduplicated: true })
        {
            return await SettleAsync(transaction, result, cancellationToken).ConfigureAwait(false);
        }

        return fence.Judge(transaction, result) ?? throw Lost();
    }

    /// <summary>Builds and runs a transaction under the fence.</summary>
    /// <exception cref="FenceLostException">The claim does not stand any more; not applied.</exception>
    public ValueTask<TransactionResult> TransactAsync(Action<TransactionBuilder> build, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(build);
        var builder = new TransactionBuilder();
        build(builder);
        return TransactAsync(builder.Build(), cancellationToken);
    }

    private async ValueTask<TransactionResult> WriteAsync(Operation operation, CancellationToken cancellationToken)
    {
        await RequireEpochAsync(cancellationToken).ConfigureAwait(false);
        TransactionResult result = await store.TransactAsync(new Transaction([fence.Stands], [operation], []), null, cancellationToken).ConfigureAwait(false);
        return result.Succeeded ? result : throw Lost();
    }

    /// <summary>
    /// The answer of a transaction that took its other branch is lost (P2): was it the fence, or a condition of its own? A claim that stands now stood then, because a create revision never comes back.
    /// </summary>
    private async ValueTask<TransactionResult> SettleAsync(Transaction transaction, TransactionResult result, CancellationToken cancellationToken)
    {
        KeyValue? claim = await store.GetAsync(fence.Token.Key, ReadConsistency.Linearizable, cancellationToken).ConfigureAwait(false);
        if (claim?.CreateRevision == fence.Token.Revision.Number)
        {
            return result;
        }

        throw Fence.Writes(transaction.Failure) ? FenceFaults.BranchUnknown(fence.Token) : Lost();
    }

    /// <summary>A claim that a backup carried into another life of the state stands there, and means nothing. An epoch never changes while a store is open; a member without a state does not know it yet.</summary>
    private async ValueTask RequireEpochAsync(CancellationToken cancellationToken)
    {
        if (Volatile.Read(ref knowsEpoch))
        {
            return;
        }

        await store.ReadBarrierAsync(cancellationToken).ConfigureAwait(false);
        long epoch = store.Status.Epoch;
        if (epoch != fence.Token.Epoch)
        {
            throw FenceFaults.OtherEpoch(fence.Token, epoch);
        }

        Volatile.Write(ref knowsEpoch, true);
    }

    private FenceLostException Lost()
    {
        lost?.Invoke();
        return FenceFaults.FenceLost(fence.Token);
    }
}
