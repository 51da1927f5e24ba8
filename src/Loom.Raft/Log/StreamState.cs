using System.Buffers.Binary;
using Loom.Raft.Consensus;
using Loom.Raft.Membership;
#if LOOM_MUTATIONS
using Loom.Raft.Diagnostics;
#endif

namespace Loom.Raft.Log;

/// <summary>
/// What the record stream says up to some point, entries apart: the state that a new segment restates (L6). The log writer keeps one as it writes, recovery one as it reads;
/// both feed it the same records, so recovery checks every restatement against its own.
/// </summary>
internal sealed class StreamState
{
    private readonly List<(long Index, byte[] Bytes)> configurations;

    public StreamState(long baseIndex, long baseTerm, byte[] configuration)
        : this([(baseIndex, configuration)])
    {
        BaseIndex = LastIndex = baseIndex;
        BaseTerm = baseTerm;
    }

    private StreamState(List<(long, byte[])> configurations) => this.configurations = configurations;

    public long BaseIndex { get; private set; }

    public long BaseTerm { get; private set; }

    public long LastIndex { get; private set; }

    public HardState HardState { get; set; }

    public long CommitHint { get; set; }

    /// <summary>Ascending, from the one in force at the base to the newest: truncation may bring back any of them.</summary>
    public IReadOnlyList<(long Index, byte[] Bytes)> Configurations => configurations;

    public void Append(long index, EntryKind kind, ReadOnlySpan<byte> body)
    {
        LastIndex = index;
        while (configurations.Count > 1 && configurations[^1].Index >= index)
            configurations.RemoveAt(configurations.Count - 1);
        if (kind == EntryKind.Configuration)
            configurations.Add((index, body.ToArray()));
    }

    public void MoveBase(long index, long term)
    {
        BaseIndex = index;
        BaseTerm = term;
        LastIndex = Math.Max(LastIndex, index);
        while (configurations.Count > 1 && configurations[1].Index <= index)
            configurations.RemoveAt(0);
    }

    public StreamState Copy() => new([.. configurations])
    {
        BaseIndex = BaseIndex,
        BaseTerm = BaseTerm,
        LastIndex = LastIndex,
        HardState = HardState,
        CommitHint = CommitHint,
    };

    public IReadOnlyList<ConfigurationAt> DecodeConfigurations() =>
        [.. configurations.Select(c => new ConfigurationAt(c.Index, ConfigurationCodec.Decode(c.Bytes)))];

    public bool Agrees(StreamState other)
    {
#if LOOM_MUTATIONS
        // These mutations are about what a wrong restatement does, not about its being noticed.
        if (Mutations.Active is "L6-forget-vote-on-recycle" or "L6-forget-configuration")
            return true;
#endif
        return BaseIndex == other.BaseIndex && BaseTerm == other.BaseTerm && LastIndex == other.LastIndex && HardState == other.HardState
            && CommitHint == other.CommitHint && configurations.Count == other.configurations.Count
            && configurations.Zip(other.configurations).All(pair => pair.First.Index == pair.Second.Index && pair.First.Bytes.AsSpan().SequenceEqual(pair.Second.Bytes));
    }

    /// <summary>The configurations that a restatement carries.</summary>
    public IEnumerable<(long Index, byte[] Bytes)> Restated
    {
        get
        {
#if LOOM_MUTATIONS
            if (Mutations.On("L6-forget-configuration"))
                return configurations.TakeLast(1);
#endif
            return configurations;
        }
    }

    public void EncodeRestatement(Span<byte> payload)
    {
        HardState state = HardState;
#if LOOM_MUTATIONS
        if (Mutations.On("L6-forget-vote-on-recycle"))
            state = default;
#endif
        BinaryPrimitives.WriteInt64LittleEndian(payload, BaseIndex);
        BinaryPrimitives.WriteInt64LittleEndian(payload[8..], BaseTerm);
        BinaryPrimitives.WriteInt64LittleEndian(payload[16..], LastIndex);
        BinaryPrimitives.WriteInt64LittleEndian(payload[24..], CommitHint);
        BinaryPrimitives.WriteInt64LittleEndian(payload[32..], state.Term);
        BinaryPrimitives.WriteUInt64LittleEndian(payload[40..], state.Vote.Value);
        BinaryPrimitives.WriteInt32LittleEndian(payload[48..], Restated.Count());
    }

    /// <summary>A restatement without its configurations, which follow in records of their own and are added by <see cref="AddRestated"/>.</summary>
    public static StreamState DecodeRestatement(ReadOnlySpan<byte> payload, out int configurationsToCome)
    {
        configurationsToCome = BinaryPrimitives.ReadInt32LittleEndian(payload[48..]);
        return new StreamState([])
        {
            BaseIndex = BinaryPrimitives.ReadInt64LittleEndian(payload),
            BaseTerm = BinaryPrimitives.ReadInt64LittleEndian(payload[8..]),
            LastIndex = BinaryPrimitives.ReadInt64LittleEndian(payload[16..]),
            CommitHint = BinaryPrimitives.ReadInt64LittleEndian(payload[24..]),
            HardState = new HardState(BinaryPrimitives.ReadInt64LittleEndian(payload[32..]), new MemberId(BinaryPrimitives.ReadUInt64LittleEndian(payload[40..]))),
        };
    }

    public void AddRestated(ReadOnlySpan<byte> payload) =>
        configurations.Add((BinaryPrimitives.ReadInt64LittleEndian(payload), payload[8..].ToArray()));
}
