namespace Loom.Server.Etcd;

/// <summary>
/// Ends the streams of clients that asked for a leader (<c>hasleader</c>), once this member has heard none for three election timeouts: their watches would be silent, their leases would run out.
/// One look for all of them, not one each: ten thousand streams would look ten thousand times.
/// </summary>
internal sealed class LeaderLoss : IDisposable
{
    private static readonly TimeSpan Period = TimeSpan.FromMilliseconds(250);

    private readonly HeaderSource headers;
    private readonly Timer timer;
    private volatile CancellationTokenSource lost = new();

    public LeaderLoss(HeaderSource headers)
    {
        this.headers = headers;
        timer = new Timer(_ => Look(), null, Period, Period);
    }

    /// <summary>Fires when there is no leader any more. A stream takes it when it begins; with none there it was refused before.</summary>
    public CancellationToken Token => lost.Token;

    public void Dispose() => timer.Dispose();

    private void Look()
    {
        if (!headers.IsLeaderLost)
        {
            return;
        }

        // Whoever begins from now on is of the next loss. The old source has served its purpose when it fires, and holds nothing that would need disposing.
        CancellationTokenSource ended = lost;
        lost = new CancellationTokenSource();

        // Not on the timer's thread: what waits for the token would go on there, one stream after the other.
        _ = ended.CancelAsync();
    }
}
