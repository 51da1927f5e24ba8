using Loom.Raft.Replica;
using Loom.Raft.Sessions;

namespace Loom.Raft.Tests.Host;

/// <summary>The smallest machine: remembers every payload, in order. Its answer is the number of payloads so far.</summary>
internal sealed class ListMachine : IReplicatedStateMachine
{
    private readonly object gate = new();
    private readonly List<byte[]> payloads = [];

    public bool Closed { get; private set; }

    public Action? OnApply { get; set; }

    public IReadOnlyList<byte[]> Payloads
    {
        get
        {
            lock (gate) return [.. payloads];
        }
    }

    public StateCheckpoint? Open(StateOrigin origin) => null;

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

    /// <summary>Keeps nothing: its state is replayed.</summary>
    public bool BeginCheckpoint(StatePosition at, Action<Exception?> completed) => false;

    public IStateSnapshot CaptureSnapshot(StatePosition at) => throw new NotSupportedException("Comes with checkpoints.");

    public IStateInstallation BeginInstall(StatePosition at, ReadOnlyMemory<byte> header) => throw new NotSupportedException("Comes with checkpoints.");

    public void Switch(IStateInstallation installation) => throw new NotSupportedException("Comes with checkpoints.");

    public void Close() => Closed = true;
}
