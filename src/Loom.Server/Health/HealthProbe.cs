using Loom.Raft;
using Loom.Store;

namespace Loom.Server.Health;

/// <summary>The checks behind /health, /livez, /readyz and gRPC's health service. Each gives null when well, else the reason.</summary>
internal sealed class HealthProbe(ILoomStore store)
{
    /// <summary>Load balancers ask every second or two and want an answer, not etcd's 7 s of patience.</summary>
    private static readonly TimeSpan ReadTimeout = TimeSpan.FromSeconds(2);
    private volatile bool stopping;

    /// <summary>Set when the node is asked to stop: load balancers should move on before the port closes.</summary>
    public bool Stopping
    {
        get => stopping;
        set => stopping = value;
    }

    public string? Failure => store.Status.Raft.Failure;

    public bool HasLeader
    {
        get
        {
            RaftNodeStatus status = store.Status.Raft;
            return !status.Leader.IsNone && !status.NoQuorum;
        }
    }

    public bool IsLearner => store.Status.Raft.Role == "learner";

    public string? SerializableRead() => Failure ?? (store.Status.Raft.Role == "stopped" ? "the store is stopped" : null);

    public async ValueTask<string?> LinearizableReadAsync(CancellationToken cancellationToken)
    {
        if (Stopping)
        {
            return "the node is stopping";
        }

        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        deadline.CancelAfter(ReadTimeout);
        try
        {
            await store.ReadBarrierAsync(deadline.Token).ConfigureAwait(false);
            return null;
        }
        catch (LoomException exception)
        {
            return exception.Message;
        }
        catch (OperationCanceledException)
        {
            return $"no quorum confirmed a read within {ReadTimeout.TotalSeconds} s";
        }
    }
}
