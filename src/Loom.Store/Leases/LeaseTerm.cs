namespace Loom.Store.Leases;

/// <summary>One lease, without its keys: those are in the records of its keys.</summary>
/// <param name="Id">Chosen by whoever grants it; never 0.</param>
/// <param name="GrantedSeconds">Its time to live; every renewal gives it again.</param>
/// <param name="Expiry">When it is due, in cluster time (T5), ns.</param>
internal readonly record struct LeaseTerm(long Id, long GrantedSeconds, long Expiry)
{
    /// <summary>Longest time to live, in seconds, as etcd's: about 285 years.</summary>
    public const long MaxSeconds = 9_000_000_000;

    private const long NanosecondsPerSecond = 1_000_000_000;

    /// <summary>The term of a lease that is granted or renewed at a time. What is longer than time itself never ends.</summary>
    public static LeaseTerm From(long id, long grantedSeconds, long clusterTime)
    {
        long length = grantedSeconds * NanosecondsPerSecond;
        return new LeaseTerm(id, grantedSeconds, length > long.MaxValue - clusterTime ? long.MaxValue : clusterTime + length);
    }

    /// <summary>It may end: its time is over. It ends by an entry, and until then it can be renewed.</summary>
    public bool IsDue(long clusterTime) => Expiry <= clusterTime;

    /// <summary>What is left of it, in whole seconds, as etcd counts them; 0 when it is due.</summary>
    public long RemainingSeconds(long clusterTime) => Math.Max(0, Expiry - clusterTime) / NanosecondsPerSecond;
}
