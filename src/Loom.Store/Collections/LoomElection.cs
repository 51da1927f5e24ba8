using Loom.Store.Model;

namespace Loom.Store.Collections;

/// <summary>
/// An election: a lock whose holder says something, which everybody can read and follow. In the same line as etcd's: <c>etcdctl elect NAME</c>, v3election and this exclude each other. All that is said of
/// <see cref="LoomLock"/> holds.
/// </summary>
public sealed class LoomElection
{
    private readonly Candidacy candidacy;

    /// <summary>The election of a name.</summary>
    /// <param name="store">The store; its member needs not to lead the cluster.</param>
    /// <param name="name">The claims' keys begin with it and a <c>/</c>.</param>
    /// <param name="options">Copied.</param>
    public LoomElection(ILoomStore store, string name, LoomLockOptions? options = null) => candidacy = new Candidacy(store, name, options);

    /// <summary>Its name.</summary>
    public string Name => candidacy.Name;

    /// <summary>Waits until this candidate leads; <paramref name="value"/> is what it says (<see cref="LoomHold.ProclaimAsync"/> changes it). Cancelling leaves no candidate behind. Dispose of the hold to resign.</summary>
    /// <exception cref="LoomException">NoQuorum and the like, after tries for about two seconds; ClaimLost.</exception>
    public async ValueTask<LoomHold> CampaignAsync(ReadOnlyMemory<byte> value, CancellationToken cancellationToken = default) =>
        (await candidacy.RunAsync(value, CancellationToken.None, cancellationToken).ConfigureAwait(false))!;

    /// <summary>Who leads, and what he says; null: nobody. Default consistency: linearizable.</summary>
    public ValueTask<LeaderSeen?> GetLeaderAsync(ReadConsistency? consistency = null, CancellationToken cancellationToken = default) =>
        candidacy.Line.FirstAsync(consistency, cancellationToken);

    /// <summary>Follows who leads and what he says: now, and after each change. Between two leaders nothing comes.</summary>
    public IAsyncEnumerable<LeaderSeen> ObserveAsync(CancellationToken cancellationToken = default) => candidacy.Line.ObserveAsync(cancellationToken);
}
