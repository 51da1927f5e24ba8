using System.Buffers.Binary;
using Loom.Raft.Replica;

namespace Loom.Raft.Tests.Host;

/// <summary>A state of a <see cref="ListMachine"/>.</summary>
internal sealed record ListState(StatePosition At, byte[][] Payloads);

/// <summary>What a <see cref="ListMachine"/> has on disk: two checkpoints and a whole installation that was not switched to. In memory, but it outlives the machine.</summary>
internal sealed class ListDisk
{
    public ListState? Newest { get; private set; }

    public ListState? Previous { get; private set; }

    public ListState? Installed { get; set; }

    public void Keep(ListState state) => (Previous, Newest) = (Newest, state);

    /// <summary>After an installation there is no older state.</summary>
    public void Replace(ListState state) => (Previous, Newest, Installed) = (state, state, null);

    public ListState? Open(StateOrigin origin)
    {
        if (Installed is { } whole && whole.At.Index == origin.LogBase && whole.At.Index > (Newest?.At.Index ?? 0)) Replace(whole);
        Installed = null;
        if (origin.StartOver) Lose();
        else if (origin.LogBase > (Newest?.At.Index ?? 0)) throw new SnapshotNeededException(origin.LogBase, "the disk holds nothing that the log goes on from");
        return Newest;
    }

    /// <summary>All that is on it is gone.</summary>
    public void Lose() => Newest = Previous = Installed = null;
}

/// <summary>Ten payloads a chunk; the cursor is how many there were before.</summary>
internal sealed class ListSnapshot(ListState state, Action onChunk, Action closed) : IStateSnapshot
{
    public StatePosition At => state.At;

    public ReadOnlyMemory<byte> Header { get; } = BitConverter.GetBytes(state.Payloads.Length);

    public long EstimatedBytes => state.Payloads.Sum(p => 4 + p.Length);

    public StateChunk? Read(ReadOnlyMemory<byte> after, int maxBytes)
    {
        onChunk();
        int from = after.IsEmpty ? 0 : BitConverter.ToInt32(after.Span);
        byte[][] next = [.. state.Payloads.Skip(from).Take(10)];
        return next.Length == 0 ? null : new StateChunk(BitConverter.GetBytes(from + next.Length), next.SelectMany(p => (byte[])[.. BitConverter.GetBytes(p.Length), .. p]).ToArray());
    }

    public void Dispose() => closed();
}

internal sealed class ListInstallation(StatePosition at, int count, ListDisk? disk, Action onChunk) : IStateInstallation
{
    private readonly List<byte[]> taken = [];

    public StatePosition At => at;

    /// <summary>Once it is complete.</summary>
    public ListState? Whole { get; private set; }

    public void Write(StateChunk chunk)
    {
        onChunk();
        for (ReadOnlySpan<byte> rest = chunk.Bytes.Span; rest.Length > 0;)
        {
            int length = BinaryPrimitives.ReadInt32LittleEndian(rest);
            taken.Add(rest.Slice(4, length).ToArray());
            rest = rest[(4 + length)..];
        }
    }

    public void Complete()
    {
        if (taken.Count != count) throw new RaftException(RaftErrorCode.Corruption, $"{taken.Count} payloads of {count}");
        Whole = new ListState(at, [.. taken]);
        if (disk is not null) disk.Installed = Whole;
    }

    public void Dispose()
    {
        if (disk is not null && ReferenceEquals(disk.Installed, Whole)) disk.Installed = null;
    }
}
