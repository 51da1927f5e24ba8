namespace Loom.Store.Collections;

/// <summary>
/// A lock that one process of the fleet holds at a time, for as long as it can be heard. It waits in the same line as etcd's: <c>etcdctl lock NAME</c> and this exclude each other. Fair: in the order of the claims.
/// One object serves any number of acquirers, from any thread; it is not re-entrant.
/// </summary>
/// <remarks>
/// <b>What it promises.</b> As long as <see cref="LoomHold.Lost"/> has not been cancelled and no process was stopped, nobody else holds it. A lock with a lease cannot promise more: a holder that is stopped for longer than its
/// lease wakes up as a former one without knowing. Therefore write through <see cref="LoomHold.Store"/>, which is refused then, or give <see cref="LoomHold.Token"/> to whatever else you change, to check.
/// </remarks>
public sealed class LoomLock
{
    private readonly Candidacy candidacy;

    /// <summary>The lock of a name. Two names must not be each other's beginning up to a <c>/</c> (<see cref="ClaimLine"/>).</summary>
    /// <param name="store">The store; this member needs to lead nothing.</param>
    /// <param name="name">The claims' keys begin with it and a <c>/</c>.</param>
    /// <param name="options">Copied.</param>
    public LoomLock(ILoomStore store, string name, LoomLockOptions? options = null) => candidacy = new Candidacy(store, name, options);

    /// <summary>Its name.</summary>
    public string Name => candidacy.Name;

    /// <summary>Waits until the lock is held. Cancelling leaves no claim behind. A claim that is lost while it waits begins again, three times in all.</summary>
    /// <exception cref="LoomException">NoQuorum and the like, after tries for about two seconds; ClaimLost.</exception>
    public async ValueTask<LoomHold> AcquireAsync(CancellationToken cancellationToken = default) =>
        (await candidacy.RunAsync(default, CancellationToken.None, cancellationToken).ConfigureAwait(false))!;

    /// <summary>As <see cref="AcquireAsync"/>, but waits for others no longer than <paramref name="patience"/> (zero: not at all); null: somebody else had it for all that time.</summary>
    public async ValueTask<LoomHold?> TryAcquireAsync(TimeSpan patience, CancellationToken cancellationToken = default)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(patience, TimeSpan.Zero);
        using var ends = new CancellationTokenSource(patience);
        return await candidacy.RunAsync(default, ends.Token, cancellationToken).ConfigureAwait(false);
    }
}
