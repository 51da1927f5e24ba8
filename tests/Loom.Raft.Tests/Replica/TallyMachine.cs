using System.Buffers.Binary;
using Loom.Raft.Replica;
using Loom.Raft.Sessions;

namespace Loom.Raft.Tests.Replica;

/// <summary>The smallest machine that tells once from twice: it remembers every payload (an eight-byte number) in order.</summary>
internal sealed class TallyMachine : IReplicatedStateMachine
{
    public List<long> Seen { get; } = [];

    /// <summary>Throws when it meets this number: a broken replica.</summary>
    public long Poison { get; set; } = long.MinValue;

    /// <summary>From this number on it applies something else than the others: a replica whose state is wrong.</summary>
    public long WrongFrom { get; set; } = long.MaxValue;

    public static byte[] Payload(long number)
    {
        var bytes = new byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(bytes, number);
        return bytes;
    }

    /// <summary>The checkpoint to open at, and the last one taken.</summary>
    public (StatePosition At, long[] Seen)? Kept { get; set; }

    public StateCheckpoint? Open(StateOrigin origin)
    {
        Seen.AddRange(Kept?.Seen ?? []);
        return Kept is { } kept ? new StateCheckpoint(kept.At, 0) : null;
    }

    public void ApplyBatch(ReadOnlySpan<CommittedEntry> entries, Span<ApplyResult> results)
    {
        for (var i = 0; i < entries.Length; i++)
        {
            var number = BinaryPrimitives.ReadInt64LittleEndian(entries[i].Payload.Span);
            if (number == Poison)
            {
                throw new InvalidOperationException("poison");
            }

            Seen.Add(number);
            results[i] = new ApplyResult
            {
                Outcome = new Outcome(0, 0, Seen.Count, number),
                Hash = (UInt128)number + (number >= WrongFrom ? (UInt128)WrongFrom : 0),
                Result = entries[i].WantsResult ? $"answer {number}" : null,
            };
        }
    }

    public bool BeginCheckpoint(StatePosition at, Action<Exception?> completed)
    {
        Kept = (at, [.. Seen]);
        completed(null);
        return true;
    }

    public IStateSnapshot CaptureSnapshot(StatePosition at) => throw new NotSupportedException("Comes with checkpoints.");

    public IStateInstallation BeginInstall(StatePosition at, ReadOnlyMemory<byte> header) => throw new NotSupportedException("Comes with checkpoints.");

    public void Switch(IStateInstallation installation) => throw new NotSupportedException("Comes with checkpoints.");

    public bool IsCondemned { get; private set; }

    public void Condemn() => IsCondemned = true;

    public void Close()
    {
    }
}
