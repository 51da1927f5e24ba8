using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Loom.Raft.Replica;
using Loom.Raft.Sessions;

namespace Loom.Raft.Tests.Replica;

/// <summary>What a <see cref="TallyMachine"/> has on disk, for its next life: two checkpoints, and an installation that is whole and not switched to.</summary>
internal sealed class TallyDisk
{
    /// <summary>Oldest first; at most two.</summary>
    public List<TallyState> Checkpoints { get; } = [];

    public TallyState? Whole { get; set; }

    /// <summary>The next start finds the newest checkpoint damaged.</summary>
    public bool NewestIsDamaged { get; set; }
}

internal sealed record TallyState(StatePosition At, long[] Seen);

/// <summary>The smallest machine that tells once from twice: it remembers every payload (an eight-byte number) in order.</summary>
internal sealed class TallyMachine(TallyDisk? disk = null) : IReplicatedStateMachine
{
    private (TallyState State, Action<Exception?> Completed)? checkpoint;

    public TallyDisk Disk { get; } = disk ?? new TallyDisk();

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

    public StateCheckpoint? Open(StateOrigin origin)
    {
        if (Disk.Whole is { } whole && whole.At.Index == origin.LogBase && whole.At.Index > (Disk.Checkpoints.LastOrDefault()?.At.Index ?? 0))
        {
            Keep(whole);
        }

        Disk.Whole = null;
        if (Disk.NewestIsDamaged && Disk.Checkpoints.Count > 0)
        {
            Disk.Checkpoints.RemoveAt(Disk.Checkpoints.Count - 1);
        }

        Disk.NewestIsDamaged = false;
        var newest = origin.StartOver ? null : Disk.Checkpoints.LastOrDefault();
        if (!origin.StartOver && (newest?.At.Index ?? 0) < origin.LogBase)
        {
            throw new SnapshotNeededException(origin.LogBase, $"the newest checkpoint is at {newest?.At.Index}");
        }

        if (newest is null)
        {
            Disk.Checkpoints.Clear();
            return null;
        }

        Seen.AddRange(newest.Seen);
        return new StateCheckpoint(newest.At, Disk.Checkpoints.Count > 1 ? Disk.Checkpoints[0].At.Index : 0);
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
        if (checkpoint is not null)
        {
            return false;
        }

        checkpoint = (new TallyState(at, [.. Seen]), completed);
        return true;
    }

    /// <summary>The checkpoint that was begun is on the disk.</summary>
    public void FinishCheckpoint()
    {
        var (state, completed) = checkpoint!.Value;
        checkpoint = null;
        if (state.At.Index >= (Disk.Checkpoints.LastOrDefault()?.At.Index ?? 0))
        {
            Disk.Checkpoints.Add(state);
            Disk.Checkpoints.RemoveRange(0, Disk.Checkpoints.Count - Math.Min(2, Disk.Checkpoints.Count));
        }

        completed(null);
    }

    public IStateSnapshot CaptureSnapshot(StatePosition at) => new Snapshot(at, [.. Seen]);

    public IStateInstallation BeginInstall(StatePosition at, ReadOnlyMemory<byte> header) => new Installation(this, at);

    public void Switch(IStateInstallation installation)
    {
        var state = ((Installation)installation).State;
        Keep(state);
        Seen.Clear();
        Seen.AddRange(state.Seen);
    }

    public bool IsCondemned { get; private set; }

    public void Condemn() => IsCondemned = true;

    public void Close()
    {
    }

    private void Keep(TallyState installed)
    {
        Disk.Whole = null;
        Disk.Checkpoints.Clear();
        Disk.Checkpoints.Add(installed);
    }

    /// <summary>Three numbers a chunk; a cursor is the count of numbers before it.</summary>
    private sealed class Snapshot(StatePosition at, long[] seen) : IStateSnapshot
    {
        public StatePosition At => at;

        public ReadOnlyMemory<byte> Header => new byte[] { 1 };

        public long EstimatedBytes => seen.Length * 8;

        public StateChunk? Read(ReadOnlyMemory<byte> after, int maxBytes)
        {
            var from = after.IsEmpty ? 0 : (int)BinaryPrimitives.ReadInt64LittleEndian(after.Span);
            var count = Math.Min(3, seen.Length - from);
            return count <= 0 ? null : new StateChunk(Payload(from + count), MemoryMarshal.AsBytes(seen.AsSpan(from, count)).ToArray());
        }

        public void Dispose()
        {
        }
    }

    private sealed class Installation(TallyMachine machine, StatePosition at) : IStateInstallation
    {
        private readonly List<long> collected = [];

        public StatePosition At => at;

        public TallyState State => new(at, [.. collected]);

        public void Write(StateChunk chunk) => collected.AddRange(MemoryMarshal.Cast<byte, long>(chunk.Bytes.Span));

        public void Complete() => machine.Disk.Whole = State;

        public void Dispose()
        {
            if (machine.Disk.Whole?.At.Index == at.Index)
            {
                machine.Disk.Whole = null;
            }
        }
    }
}
