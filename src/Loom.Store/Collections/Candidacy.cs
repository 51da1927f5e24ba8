using System.Text;
using Loom.Store.Model;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace Loom.Store.Collections;

/// <summary>The way to a hold: a lease, a claim, a wait. Whatever ends it on the way, nothing stays behind (but for the rest of the lease's time, where the cluster cannot be reached).</summary>
internal sealed class Candidacy
{
    private const int MaxClaims = 3;

    private readonly ILoomStore store;
    private readonly LoomLockOptions options;
    private readonly ILogger log;

    /// <param name="store">The store.</param>
    /// <param name="name">What is claimed.</param>
    /// <param name="options">Copied.</param>
    public Candidacy(ILoomStore store, string name, LoomLockOptions? options)
    {
        ArgumentNullException.ThrowIfNull(store);
        ArgumentException.ThrowIfNullOrEmpty(name);
        this.store = store;
        this.options = options?.Copy() ?? new LoomLockOptions();
        this.options.Check();
        log = (this.options.LoggerFactory ?? NullLoggerFactory.Instance).CreateLogger("Loom.Store.Lock");
        Name = name;
        Line = new ClaimLine(store, Encoding.UTF8.GetBytes(name));
    }

    public string Name { get; }

    public ClaimLine Line { get; }

    /// <summary>Waits for the hold. Null: patience has ended first.</summary>
    public async ValueTask<LoomHold?> RunAsync(ReadOnlyMemory<byte> value, CancellationToken patience, CancellationToken cancellationToken)
    {
        for (int tries = 1; ; tries++)
        {
            RenewedLease lease = await RenewedLease.GrantAsync(store, options.TimeToLive, options.TimeProvider, cancellationToken).ConfigureAwait(false);
            LoomHold? hold = null;
            try
            {
                hold = await WaitAsync(lease, value, patience, cancellationToken).ConfigureAwait(false);
                return hold;
            }
            catch (LoomException exception) when (exception.Code is LoomErrorCode.ClaimLost or LoomErrorCode.LeaseNotFound && tries < MaxClaims)
            {
                log.LogWarning("The claim to {Name} was lost while it waited ({Why}), and begins again at the end of the line.", Name, lease.Reason ?? exception.Message);
            }
            catch (OperationCanceledException) when (patience.IsCancellationRequested && !cancellationToken.IsCancellationRequested)
            {
                return null;
            }
            finally
            {
                if (hold is null)
                {
                    await lease.DisposeAsync().ConfigureAwait(false);
                }
            }
        }
    }

    private async ValueTask<LoomHold> WaitAsync(RenewedLease lease, ReadOnlyMemory<byte> value, CancellationToken patience, CancellationToken cancellationToken)
    {
        using var lives = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, lease.Lost);
        using var waits = CancellationTokenSource.CreateLinkedTokenSource(lives.Token, patience);
        try
        {
            Claim claim = await Retries.RunAsync(() => Line.EnterAsync(lease.Id, value, lives.Token), lives.Token).ConfigureAwait(false);
            Revision at = await Line.TryWaitAsync(claim, waits.Token, lives.Token).ConfigureAwait(false);
            return lease.Lives ? new LoomHold(store, Name, lease, claim, at, log) : throw FenceFaults.ClaimLost(claim.Key);
        }
        catch (OperationCanceledException exception)
        {
            cancellationToken.ThrowIfCancellationRequested();
            throw lease.Lost.IsCancellationRequested ? FenceFaults.ClaimLost(Line.KeyOf(lease.Id)) : new OperationCanceledException("Patience has ended.", exception, patience);
        }
    }
}
