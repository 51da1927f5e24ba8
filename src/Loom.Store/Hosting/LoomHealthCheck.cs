using System.Globalization;
using Loom.Raft.Membership;
using Microsoft.Extensions.Diagnostics.HealthChecks;

namespace Loom.Store.Hosting;

/// <summary>What a health check asks.</summary>
internal enum LoomHealthQuestion
{
    /// <summary>This member has not failed: restarting it would help nobody.</summary>
    Live,

    /// <summary>This member knows a leader and has applied nearly all it knows to be committed: send it traffic.</summary>
    Ready,

    /// <summary>A quorum was heard lately: writes work.</summary>
    Quorum,
}

/// <summary>Health of this replica, with role, term, lag and datacenters as data.</summary>
internal sealed class LoomHealthCheck(HostedStore store, LoomHealthQuestion question) : IHealthCheck
{
    /// <summary>Entries that a replica may be behind and still be ready.</summary>
    public const long ReadyLag = 1000;

    private static readonly byte[] AnyKey = [0];

    public Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken = default)
    {
        HealthCheckResult result = Check(store.TryStatus, question);
        if (question == LoomHealthQuestion.Ready && result.Status == HealthStatus.Healthy && Refusal() is { } refusal)
        {
            result = HealthCheckResult.Unhealthy(refusal, null, result.Data);
        }

        return Task.FromResult(result);
    }

    /// <summary>A member that waits for another one's state, or whose own was found to differ, knows its leader well and serves nothing.</summary>
    private string? Refusal()
    {
        try
        {
            _ = store.Get(AnyKey);
            return null;
        }
        catch (LoomException exception)
        {
            return exception.Message;
        }
    }

    internal static HealthCheckResult Check(LoomStatus? status, LoomHealthQuestion question)
    {
        if (status is null)
        {
            return question == LoomHealthQuestion.Live ? HealthCheckResult.Healthy("The store is being opened.") : HealthCheckResult.Unhealthy("The store is not open yet.");
        }

        string? fault = Fault(status, question);
        IReadOnlyDictionary<string, object> data = Data(status);
        return fault is null ? HealthCheckResult.Healthy(status.Placement, data) : HealthCheckResult.Unhealthy(fault, null, data);
    }

    private static string? Fault(LoomStatus status, LoomHealthQuestion question)
    {
        if (status.Raft.Failure is { } failure)
        {
            return $"This member failed: {failure}";
        }

        if (question == LoomHealthQuestion.Live)
        {
            return null;
        }

        if (status.Raft.Role is "stopped" or "forming")
        {
            return status.Raft.Obstacle ?? $"This member is {status.Raft.Role}.";
        }

        if (status.Raft.NoQuorum || status.Raft.Leader.IsNone)
        {
            return "No leader with a quorum is known: writes and linearizable reads wait; local reads work.";
        }

        long lag = Lag(status);
        return question == LoomHealthQuestion.Ready && lag > ReadyLag
            ? string.Create(CultureInfo.InvariantCulture, $"This replica is {lag} entries behind what it knows to be committed.")
            : null;
    }

    private static long Lag(LoomStatus status) => Math.Max(0, status.Raft.CommitIndex - status.Raft.AppliedIndex);

    private static SortedDictionary<string, object> Data(LoomStatus status)
    {
        Member? self = status.Configuration.Find(status.Raft.MemberId);
        return new SortedDictionary<string, object>(StringComparer.Ordinal)
        {
            ["role"] = status.Raft.Role,
            ["term"] = status.Raft.Term,
            ["leader"] = status.Raft.Leader.ToString(),
            ["lag"] = Lag(status),
            ["revision"] = status.Revision.Number,
            ["datacenter"] = self?.Datacenter ?? "",
            ["datacenters"] = string.Join(",", status.Configuration.Members.Select(member => member.Datacenter).Distinct().Order(StringComparer.Ordinal)),
            ["placement"] = status.Placement,
        };
    }
}
