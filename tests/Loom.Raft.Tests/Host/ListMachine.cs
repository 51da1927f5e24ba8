using Loom.Raft.Replica;
using Loom.Raft.Sessions;

namespace Loom.Raft.Tests.Host;

/// <summary>
/// The smallest machine: remembers every payload, in order. Its answer is the number of payloads so far. With a <see cref="ListDisk"/> its checkpoints outlive it; without, its state is replayed.
/// </summary>
internal sealed class ListMachine(ListDisk? disk = null) : IReplicatedStateMachine
{
    private readonly object gate = new();
    private List<byte[]> payloads = [];

    public bool Closed { get; private set; }

    public Action? OnApply { get; set; }

    /// <summary>Why there is no space to apply anything, or null.</summary>
    public volatile string? Obstacle;

    /// <summary>There is space for so many payloads.</summary>
    public int Space = int.MaxValue;

    /// <summary>Before each chunk that is read of a capture, or written into an installation.</summary>
    public Action? OnChunk { get; set; }

    /// <summary>Captures that were not given back.</summary>
    public int OpenCaptures;

    /// <summary>Captures that were taken.</summary>
    public int Captures;

    /// <summary>States that replaced the one before.</summary>
    public int Switches;

    public IReadOnlyList<byte[]> Payloads
    {
        get
        {
            lock (gate) return [.. payloads];
        }
    }

    public StateCheckpoint? Open(StateOrigin origin)
    {
        if (disk?.Open(origin) is not { } found) return null;
        payloads = [.. found.Payloads];
        return new StateCheckpoint(found.At, disk.Previous?.At.Index ?? 0);
    }

    public void ApplyBatch(ReadOnlySpan<CommittedEntry> entries, Span<ApplyResult> results)
    {
        OnApply?.Invoke();
        lock (gate)
        {
            for (int i = 0; i < entries.Length; i++)
            {
                payloads.Add(entries[i].Payload.ToArray());
                var hash = System.IO.Hashing.XxHash128.HashToUInt128(entries[i].Payload.Span);
                results[i] = new ApplyResult { Outcome = new Outcome(0, 0, payloads.Count, 0), Hash = hash, Result = entries[i].WantsResult ? payloads.Count : null };
            }
        }
    }

    public bool TryReserve(ReadOnlySpan<ReadOnlyMemory<byte>> payloads, out string? obstacle)
    {
        lock (gate) obstacle = this.payloads.Count + payloads.Length > Volatile.Read(ref Space) ? "no space for so many" : Obstacle;
        return obstacle is null;
    }

    public bool BeginCheckpoint(StatePosition at, Action<Exception?> completed)
    {
        if (disk is null) return false;
        disk.Keep(new ListState(at, [.. payloads]));
        completed(null);
        return true;
    }

    public IStateSnapshot CaptureSnapshot(StatePosition at)
    {
        _ = Interlocked.Increment(ref OpenCaptures);
        _ = Interlocked.Increment(ref Captures);
        return new ListSnapshot(new ListState(at, [.. payloads]), () => OnChunk?.Invoke(), () => Interlocked.Decrement(ref OpenCaptures));
    }

    public IStateInstallation BeginInstall(StatePosition at, ReadOnlyMemory<byte> header) => new ListInstallation(at, BitConverter.ToInt32(header.Span), disk, () => OnChunk?.Invoke());

    public void Switch(IStateInstallation installation)
    {
        ListState state = ((ListInstallation)installation).Whole!;
        _ = Interlocked.Increment(ref Switches);
        disk?.Replace(state);
        lock (gate) payloads = [.. state.Payloads];
    }

    public void Condemn()
    {
    }

    public void Close() => Closed = true;
}
