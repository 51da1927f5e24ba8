namespace Loom.Store.Model;

/// <summary>Answer to a grant.</summary>
/// <param name="Revision">The current revision: a grant adds none.</param>
/// <param name="Id">The lease's id.</param>
/// <param name="TimeToLive">What was granted, in whole seconds: at least what was asked for.</param>
public sealed record LeaseGrant(Revision Revision, long Id, TimeSpan TimeToLive);

/// <summary>Answer to a renewal.</summary>
/// <param name="Revision">The current revision when it was applied: a renewal adds none.</param>
/// <param name="Id">The lease's id.</param>
/// <param name="TimeToLive">What it has from now on; zero: there is no such lease, or there is none any more.</param>
public sealed record LeaseRenewal(Revision Revision, long Id, TimeSpan TimeToLive)
{
    /// <summary>The lease lives.</summary>
    public bool Lives => TimeToLive > TimeSpan.Zero;
}

/// <summary>A lease as it is.</summary>
/// <param name="Revision">The current revision.</param>
/// <param name="Id">The lease's id.</param>
/// <param name="Exists">There is such a lease; else the rest says nothing.</param>
/// <param name="Remaining">
/// What it has left if nobody renews it, in whole seconds rounded down; zero: it may end at any moment. Exact on the leader; another member may be off by a second, and after a change of leader by more.
/// </param>
/// <param name="Granted">What each renewal gives it.</param>
/// <param name="Keys">The keys that are deleted when it ends, in order, if they were asked for.</param>
public sealed record LeaseState(Revision Revision, long Id, bool Exists, TimeSpan Remaining, TimeSpan Granted, IReadOnlyList<ReadOnlyMemory<byte>> Keys);

/// <summary>All leases.</summary>
/// <param name="Revision">The current revision.</param>
/// <param name="Ids">Their ids, the one due next first.</param>
public sealed record LeaseList(Revision Revision, IReadOnlyList<long> Ids);
