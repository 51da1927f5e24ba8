using Loom.Raft;
using Loom.Server.Etcd.Translation;
using Loom.Store;
using Loom.Store.Model;

namespace Loom.Server.Health;

/// <summary>The checks behind /health, /livez, /readyz and gRPC's health service. Each gives null when well, else the reason.</summary>
internal sealed class HealthProbe(ILoomStore store)
{
    /// <summary>Load balancers ask every second or two and want an answer, not etcd's 7 s of patience.</summary>
    private static readonly TimeSpan ReadTimeout = TimeSpan.FromSeconds(2);
    private static readonly byte[] AnyKey = [0];
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

    /// <summary>An active alarm that makes calls of clients fail here, in etcd's words; null: none. <paramref name="isExcluded"/>: which ones the caller does not care about.</summary>
    public string? Alarm(Func<string, bool> isExcluded)
    {
        LoomStatus status = store.Status;

        // A low disk is told where it makes puts fail, not on every member.
        return AlarmTranslation.All([.. status.Alarms.Where(alarm => alarm.Kind != AlarmKind.LowDisk)])
            .Select(alarm => AlarmTranslation.Name(alarm.Alarm))
            .Concat(status.SpaceRefusal is null ? [] : [AlarmTranslation.Name(Etcd.Protos.AlarmType.Nospace)])
            .FirstOrDefault(name => !isExcluded(name));
    }

    /// <summary>This member failed, or the cluster's replicas differ.</summary>
    public string? DataCorruption() => Failure ?? (store.Status.Alarms.Any(alarm => alarm.Kind == AlarmKind.Corrupt) ? "alarm activated: CORRUPT" : null);

    /// <summary>Whether this member lives. One that waits for a state, or whose own is known to be wrong, does: it gets another one, and a restart would not hasten that.</summary>
    public string? SerializableRead() => Failure ?? (store.Status.Raft.Role == "stopped" ? "the store is stopped" : null);

    /// <summary>Whether a local read is answered, now.</summary>
    public string? LocalRead()
    {
        if (SerializableRead() is { } unwell)
        {
            return unwell;
        }

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

    public ValueTask<string?> LinearizableReadAsync(CancellationToken cancellationToken) => LinearizableReadAsync(ReadTimeout, cancellationToken);

    public async ValueTask<string?> LinearizableReadAsync(TimeSpan patience, CancellationToken cancellationToken)
    {
        if (Stopping)
        {
            return "the node is stopping";
        }

        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        deadline.CancelAfter(patience);
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
            return $"no quorum confirmed a read within {patience.TotalSeconds} s";
        }
    }
}
