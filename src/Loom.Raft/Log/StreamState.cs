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

    /// <summary>A log before its first entry. Whoever begins behind entries has been in their term.</summary>
    public StreamState(LogStart start, byte[] configuration)
        : this([(start.Index, configuration)])
    {
        BaseIndex = LastIndex = start.Index;
        BaseTerm = start.Term;
        ClusterTime = start.ClusterTime;
        HardState = new HardState(start.Term, MemberId.None);
    }

    private StreamState(List<(long, byte[])> configurations) => this.configurations = configurations;

    public long BaseIndex { get; private set; }

    public long BaseTerm { get; private set; }

    public long LastIndex { get; private set; }

    public HardState HardState { get; set; }

    public long CommitHint { get; set; }

    /// <summary>Cluster time at the last index (T5): of its entry, or of the snapshot that the log begins with. Null in a restatement of format 1, which does not say it.</summary>
    public long? ClusterTime { get; private set; }

    /// <summary>Ascending, from the one in force at the base to the newest: truncation may bring back any of them.</summary>
    public IReadOnlyList<(long Index, byte[] Bytes)> Configurations => configurations;

    public void Append(in Entry entry) => Append(entry.Index, entry.Kind, entry.ClusterTime, entry.Body.Span);

    public void Append(long index, EntryKind kind, long clusterTime, ReadOnlySpan<byte> body)
    {
        LastIndex = index;
        ClusterTime = clusterTime;
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

    /// <summary>The log begins anew at a snapshot.</summary>
    public void Install(long index, long term, SnapshotBase snapshot)
    {
        BaseIndex = LastIndex = index;
        BaseTerm = term;
        ClusterTime = snapshot.ClusterTime;
#if LOOM_MUTATIONS
        if (Mutations.On("S3-base-without-configuration"))
        {
            configurations.RemoveRange(1, configurations.Count - 1);
            return;
        }
#endif
        configurations.Clear();
        configurations.Add((snapshot.ConfigurationIndex, snapshot.Configuration));
    }

    public StreamState Copy() => new([.. configurations])
    {
        BaseIndex = BaseIndex,
        BaseTerm = BaseTerm,
        LastIndex = LastIndex,
        HardState = HardState,
        CommitHint = CommitHint,
        ClusterTime = ClusterTime,
    };

    public IReadOnlyList<ConfigurationAt> DecodeConfigurations() =>
        [.. configurations.Select(c => new ConfigurationAt(c.Index, ConfigurationCodec.Decode(c.Bytes)))];

    public bool Agrees(StreamState other)
    {
#if LOOM_MUTATIONS
        // These mutations are about what a wrong restatement does, not about its being noticed.
        if (Mutations.Active is "L6-forget-vote-on-recycle" or "L6-forget-configuration" or "L6-forget-cluster-time")
            return true;
#endif
        return BaseIndex == other.BaseIndex && BaseTerm == other.BaseTerm && LastIndex == other.LastIndex && HardState == other.HardState
            && CommitHint == other.CommitHint && (ClusterTime ?? other.ClusterTime ?? 0) == (other.ClusterTime ?? 0) && configurations.Count == other.configurations.Count
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
        long time = ClusterTime ?? 0;
#if LOOM_MUTATIONS
        if (Mutations.On("L6-forget-cluster-time"))
            time = 0;
#endif
        BinaryPrimitives.WriteInt64LittleEndian(payload[52..], time);
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
            ClusterTime = payload.Length < RecordCodec.RestatementPayloadBytes ? null : BinaryPrimitives.ReadInt64LittleEndian(payload[52..]),
        };
    }

    public void AddRestated(ReadOnlySpan<byte> payload) =>
        configurations.Add((BinaryPrimitives.ReadInt64LittleEndian(payload), payload[8..].ToArray()));
}
