namespace Loom.Store.Reads;

/// <summary>
/// Hashes of the history, one after another: each reads every record and holds the keys of all of them, so two at once would double that for nothing.
/// Bounded: <see cref="MaxWaiting"/> callers, then a new one is refused. They run on the thread pool, so that no caller's thread is held for seconds.
/// </summary>
internal sealed class HashQueue(LocalReads reads) : IAsyncDisposable
{
    public const int MaxWaiting = 64;

    /// <summary>How long closing waits for the hash that runs.</summary>
    public static readonly TimeSpan CloseLimit = TimeSpan.FromMilliseconds(500);

    // Neither is ever disposed: nobody asks for a wait handle, and a late caller must meet a closed store rather than a disposed object.
    private readonly SemaphoreSlim turn = new(1, 1);
    private readonly CancellationTokenSource closing = new();
    private int callers;

    public async Task<HashResult> RunAsync(long revision, CancellationToken cancellationToken)
    {
        using var ending = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, closing.Token);
        try
        {
            if (Interlocked.Increment(ref callers) > MaxWaiting + 1)
            {
                throw Faults.TooManyHashes(MaxWaiting);
            }

            await turn.WaitAsync(ending.Token).ConfigureAwait(false);
            try
            {
                return await Task.Run(() => reads.Hash(revision, ending.Token), ending.Token).ConfigureAwait(false);
            }
            finally
            {
                turn.Release();
            }
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            throw Faults.Closed();
        }
        finally
        {
            Interlocked.Decrement(ref callers);
        }
    }

    /// <summary>
    /// Ends what runs and what waits. Afterwards nothing reads records for a hash, and nothing ever will: the turn is kept. Unless the disk holds up a read of one:
    /// closing does not wait for that; the record store counts its readers itself.
    /// </summary>
    public async ValueTask DisposeAsync()
    {
        await closing.CancelAsync().ConfigureAwait(false);
        await turn.WaitAsync(CloseLimit).ConfigureAwait(false);
    }
}
