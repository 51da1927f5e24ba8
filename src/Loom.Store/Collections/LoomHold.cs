using Loom.Store.Model;
using Microsoft.Extensions.Logging;

namespace Loom.Store.Collections;

/// <summary>
/// A lock that is held, or an election that was won, until it is disposed of or lost. Its lease renews itself. Write through <see cref="Store"/>: then a holder that has lost it without knowing cannot write.
/// Safe from any thread.
/// </summary>
public sealed class LoomHold : IAsyncDisposable
{
    private static readonly TimeSpan WatchPause = TimeSpan.FromMilliseconds(100);

    private readonly ILoomStore store;
    private readonly RenewedLease lease;
    private readonly Claim claim;
    private readonly ILogger log;
    private readonly CancellationTokenSource stop = new();
    private readonly Task watching;
    private int disposed;

    internal LoomHold(ILoomStore store, string name, RenewedLease lease, Claim claim, Revision since, ILogger log)
    {
        this.store = store;
        this.lease = lease;
        this.claim = claim;
        this.log = log;
        Name = name;
        Token = new FencingToken(store.Status.Epoch, new Revision(claim.CreateRevision), claim.Key);
        Store = new FencedStore(store, Token, knowsEpoch: true, lost: OnRefused);
        watching = WatchAsync(since, stop.Token);
    }

    /// <summary>The name of the lock or election.</summary>
    public string Name { get; }

    /// <summary>The fencing token: greater than that of every earlier holder of the name.</summary>
    public FencingToken Token { get; }

    /// <summary>The lease under the claim: a key that is put with it goes when the hold does.</summary>
    public long Lease => lease.Id;

    /// <summary>Writes that are refused once the hold is lost. Reads need no fence: use the store.</summary>
    public FencedStore Store { get; }

    /// <summary>
    /// Cancelled when the hold is lost (its lease has ended, its key was deleted, or the last renewal that was confirmed was sent so long ago that the lease may have ended), and when it is disposed of.
    /// It comes before another holder can have begun, unless this process or machine was stopped meanwhile: that is what <see cref="Store"/> is for.
    /// </summary>
    public CancellationToken Lost => lease.Lost;

    /// <summary>Whether the hold is believed to stand, by this process's clock as well.</summary>
    public bool IsHeld => lease.Lives;

    /// <summary>Why it was lost; null: it was not, or was disposed of.</summary>
    public string? LostReason => lease.Reason;

    /// <summary>Puts another value into the claim's key, which all may read: where the leader is to be found, say.</summary>
    /// <exception cref="FenceLostException">The claim does not stand any more; not applied.</exception>
    public ValueTask<Revision> ProclaimAsync(ReadOnlyMemory<byte> value, CancellationToken cancellationToken = default) => Store.PutAsync(claim.Key, value, claim.Lease, cancellationToken);

    /// <summary>
    /// Gives the hold back: the claim's key is deleted, and whoever waits next has it at once. Cancels <see cref="Lost"/> first. Where the cluster cannot be reached, the key goes when the lease's time has passed.
    /// Never throws.
    /// </summary>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref disposed, 1) != 0)
        {
            return;
        }

        await stop.CancelAsync().ConfigureAwait(false);
        await watching.ConfigureAwait(false);
        await lease.DisposeAsync().ConfigureAwait(false);
        stop.Dispose();
    }

    /// <summary>The key may go while its lease lives, by somebody's hand; and this member may hear of the lease's end before it could have renewed it.</summary>
    private async Task WatchAsync(Revision since, CancellationToken stopped)
    {
        try
        {
            while (await WatchKeyAsync(since.Next, stopped).ConfigureAwait(false))
            {
                // The history is gone: what matters is whether the key is still there.
                await Task.Delay(WatchPause, stopped).ConfigureAwait(false);
                RangeResult range = store.Range(new RangeQuery(KeyRange.Single(claim.Key)) { KeysOnly = true });
                if (range.Pairs is not [KeyValue pair] || pair.CreateRevision != claim.CreateRevision)
                {
                    break;
                }

                since = range.Revision;
            }

            await LoseAsync("its key was deleted").ConfigureAwait(false);
        }
        catch (LoomException exception)
        {
            await LoseAsync("this member cannot follow it any more: " + exception.Message).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
        }
    }

    /// <summary>False: the key was deleted. True: the watch lost its history.</summary>
    private async ValueTask<bool> WatchKeyAsync(Revision from, CancellationToken stopped)
    {
        try
        {
            await foreach (WatchBatch batch in store.WatchAsync(new WatchQuery(KeyRange.Single(claim.Key)) { From = from, Puts = false }, stopped).ConfigureAwait(false))
            {
                if (!batch.IsProgress)
                {
                    return false;
                }
            }

            throw Faults.Closed();
        }
        catch (LoomException end)
        {
            ClaimLine.RequireResumable(end);
            return true;
        }
    }

    private async ValueTask LoseAsync(string why)
    {
        log.LogWarning("The hold of {Name} ({Token}) is lost: {Why}.", Name, Token, why);
        await lease.LoseAsync(why).ConfigureAwait(false);
    }

    private void OnRefused()
    {
        // On the caller's thread, which has its exception: nobody waits for what others make of it.
        _ = lease.LoseAsync("a write under it was refused").AsTask();
    }
}
