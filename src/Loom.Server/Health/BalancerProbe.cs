using System.Globalization;
using Loom.Raft;
using Loom.Raft.Host;
using Loom.Store;

namespace Loom.Server.Health;

/// <summary>What a load balancer was told: whether to send traffic here, and one line of reason.</summary>
internal readonly record struct BalancerAnswer(bool IsWell, string Reason);

/// <summary>
/// What load balancers ask: may reads go here, writes, or what only the leader should do. Each answer stands on a confirmation by the quorum (a read barrier, R1): no entry is written, and all that
/// wait at a moment share one round. A question costs at most <see cref="Patience"/>.
/// </summary>
internal sealed class BalancerProbe(ILoomStore store, HealthProbe health)
{
    /// <summary>Balancers ask every second or two, and take silence for death.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(1);

    private static readonly BalancerAnswer Stopping = new(false, "stopping");

    // The clock that counts suspension (T1), in ns, at the begin of the last barrier that was confirmed: everything that was acknowledged until then can be read here. 0: there was none yet.
    private long currentAt;

    /// <summary>Local reads here are no older than <paramref name="bound"/>. It asks the quorum only when the last confirmation is older than half of that.</summary>
    public async ValueTask<BalancerAnswer> ReadsAsync(TimeSpan bound, CancellationToken cancellationToken)
    {
        if (Refusal() is { } refusal)
        {
            return refusal;
        }

        string? reason = null;
        if (Age() > bound / 2)
        {
            reason = await ConfirmAsync(cancellationToken).ConfigureAwait(false);
        }

        TimeSpan age = Age();
        return age <= bound ? new(true, string.Create(CultureInfo.InvariantCulture, $"reads are at most {age.TotalMilliseconds:0} ms old"))
            : new(false, string.Create(CultureInfo.InvariantCulture, $"reads may be older than {bound.TotalMilliseconds:0} ms: {reason ?? "not confirmed in time"}"));
    }

    /// <summary>A write would go through: there is a leader with a quorum, which this member reaches, and nothing refuses puts. Any member takes writes, standbys too.</summary>
    public async ValueTask<BalancerAnswer> WritesAsync(CancellationToken cancellationToken)
    {
        if (Refusal() is { } refusal)
        {
            return refusal;
        }

        if (health.Alarm(_ => false) is { } alarm)
        {
            return new(false, $"alarm {alarm}: puts are refused");
        }

        return await ConfirmAsync(cancellationToken).ConfigureAwait(false) is { } reason ? new(false, reason) : new(true, $"writes go through {Leader()}");
    }

    /// <summary>This member leads, confirmed by its quorum: for what should run beside the leader, and for traffic that should not be forwarded.</summary>
    public async ValueTask<BalancerAnswer> LeadsAsync(CancellationToken cancellationToken)
    {
        if (Refusal() is { } refusal)
        {
            return refusal;
        }

        if (!Leads())
        {
            return new(false, $"{Leader()} leads");
        }

        // Asked again behind the confirmation: it may have been another's.
        string? reason = await ConfirmAsync(cancellationToken).ConfigureAwait(false);
        return reason is not null ? new(false, reason) : Leads() ? new(true, "leads") : new(false, $"{Leader()} leads");
    }

    private BalancerAnswer? Refusal() => health.Stopping ? Stopping : health.LocalRead() is { } unwell ? new BalancerAnswer(false, unwell) : null;

    private TimeSpan Age() => Volatile.Read(ref currentAt) is > 0 and long at ? TimeSpan.FromMicroseconds((MonotonicClock.Nanoseconds - at) / 1000) : TimeSpan.MaxValue;

    private bool Leads()
    {
        RaftNodeStatus status = store.Status.Raft;
        return status.Leader == status.MemberId && !status.NoQuorum;
    }

    private string Leader()
    {
        LoomStatus status = store.Status;
        Raft.Membership.Member? leader = status.Configuration.Find(status.Raft.Leader);
        return leader is null ? "nobody known" : $"{leader.Name} in {leader.Datacenter}";
    }

    private async ValueTask<string?> ConfirmAsync(CancellationToken cancellationToken)
    {
        long began = MonotonicClock.Nanoseconds;
        string? reason = await health.LinearizableReadAsync(Patience, cancellationToken).ConfigureAwait(false);
        if (reason is null)
        {
            // The clock never goes back, and whichever of two answers is written last is true.
            Volatile.Write(ref currentAt, Math.Max(1, began));
        }

        return reason;
    }
}
