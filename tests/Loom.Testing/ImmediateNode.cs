using Loom.Raft;
using Loom.Raft.Consensus;
using Loom.Raft.Membership;
using Loom.Raft.Replica;
using Loom.Raft.Sessions;
using Loom.Raft.Snapshots;
using Loom.Store;
using Loom.Store.Applying;
using Loom.Store.Mvcc;

namespace Loom.Testing;

/// <summary>
/// A node of one member that applies each proposal at once, in memory: for tests of the store and of the server that are not about consensus.
/// <see cref="Fault"/> makes the next calls fail as a real node would.
/// </summary>
public sealed class ImmediateNode : IRaftNode
{
    private const ulong Cluster = 0xC1;
    private static readonly MemberId Self = new(0x1001);
    private readonly Lock gate = new();
    private readonly IReplicatedStateMachine machine;
    private readonly CommittedEntry[] entry = new CommittedEntry[1];
    private readonly ApplyResult[] result = new ApplyResult[1];
    private long index;
    private long lastStamp;
    private UInt128 applyHash;
    private bool closed;

    /// <summary>A node over a machine.</summary>
    public ImmediateNode(IReplicatedStateMachine machine)
    {
        ArgumentNullException.ThrowIfNull(machine);
        this.machine = machine;
        index = machine.Open(default)?.At.Index ?? 0;
    }

    /// <summary>Called before each proposal (true) and barrier (false); what it returns is thrown.</summary>
    public Func<bool, RaftException?>? Fault { get; set; }

    /// <summary>Called after each proposal was applied; what it returns is thrown in place of the answer.</summary>
    public Func<RaftException?>? LostAnswer { get; set; }

    /// <summary>Answer proposals as a deduplicated retry: the outcome without the result.</summary>
    public bool Deduplicates { get; set; }

    /// <summary>Cluster time, ns, but for a microsecond that each entry adds; a test moves it forward.</summary>
    public long ClusterTime { get; set; }

    /// <summary>Who leads; a test may let it be somebody else, or nobody.</summary>
    public MemberId Leader { get; set; } = Self;

    /// <summary>No leader was heard for three election timeouts; a test says so.</summary>
    public bool NoQuorum { get; set; }

    /// <summary>How many proposals were applied.</summary>
    public long Proposals => Volatile.Read(ref index);

    /// <summary>How many of them asked for the reserve (S6).</summary>
    public long Reserved { get; private set; }

    /// <inheritdoc/>
    public Configuration Configuration { get; } = new(
        PlacementGoal.Majority,
        [new Member(Self, 1, "default", "default", MemberRole.Voter, [], ["http://127.0.0.1:2379"])],
        []);

    /// <inheritdoc/>
    public RaftNodeStatus Status
    {
        get
        {
            lock (gate)
            {
                return new RaftNodeStatus
                {
                    ClusterId = Cluster,
                    MemberId = Self,
                    Role = closed ? "stopped" : Leader == Self ? "leader" : "follower",
                    Term = 2,
                    Leader = Leader,
                    NoQuorum = NoQuorum,
                    LastIndex = index,
                    CommitIndex = index,
                    AppliedIndex = index,
                    ClusterTime = lastStamp,
                    LogTime = Stamp,
                    ApplyHash = applyHash,
                    Placement = "One member: losing it loses the service.",
                };
            }
        }
    }

    /// <summary>A store of the product over such a node, with records in memory.</summary>
    public static LoomStore OpenStore() => OpenStore(out _);

    /// <summary>As above, with the node to make it fail.</summary>
    public static LoomStore OpenStore(out ImmediateNode node, LoomOptions? options = null)
    {
        var machine = new LoomStateMachine(new KeyIndex(), new MemoryRecordStore());
        node = new ImmediateNode(machine);
        return new LoomStore(node, machine, options ?? new LoomOptions());
    }

    /// <inheritdoc/>
    public ValueTask<ProposalResult> ProposeAsync(ReadOnlyMemory<byte> payload, CancellationToken cancellationToken = default) => ProposeAsync(payload, isReserved: false, cancellationToken);

    /// <inheritdoc/>
    public ValueTask<ProposalResult> ProposeAsync(ReadOnlyMemory<byte> payload, bool isReserved, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        lock (gate)
        {
            ThrowIfFaulty(write: true);
            index++;
            Reserved += isReserved ? 1 : 0;
            entry[0] = new CommittedEntry(index, 2, lastStamp = Stamp, EntryKind.Command, payload, WantsResult: true);
            machine.ApplyBatch(entry, result);
            applyHash = unchecked((applyHash * 31) + result[0].Hash);
            if (LostAnswer?.Invoke() is { } lost)
            {
                throw lost;
            }

            return new ValueTask<ProposalResult>(new ProposalResult(index, result[0].Outcome, Deduplicates ? null : result[0].Result, Deduplicates));
        }
    }

    /// <inheritdoc/>
    public ValueTask<long> ReadBarrierAsync(CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        lock (gate)
        {
            ThrowIfFaulty(write: false);
            return new ValueTask<long>(index);
        }
    }

    /// <inheritdoc/>
    public ValueTask TransferLeadershipAsync(MemberId target = default, CancellationToken cancellationToken = default) =>
        throw new RaftException(RaftErrorCode.BadTransferTarget, "there is no other member");

    /// <inheritdoc/>
    public ValueTask<RaftSnapshot> CaptureSnapshotAsync(CancellationToken cancellationToken = default)
    {
        lock (gate)
        {
            ThrowIfFaulty(write: false);
            IStateSnapshot state = machine.CaptureSnapshot(new StatePosition(index, 2, AppliedSection.Encode(applyHash, lastStamp, new SessionTable())));
            var manifest = new SnapshotManifest((ulong)index + 1, Cluster, Self, 2, state.At, new ConfigurationAt(0, Configuration), state.Header);
            return new ValueTask<RaftSnapshot>(new RaftSnapshot(Cluster, Self, SnapshotManifestCodec.Encode(manifest), state));
        }
    }

    /// <summary>The state is found to be wrong (S5): as in a real node, barriers and proposals are refused, and the machine serves nothing.</summary>
    public void Condemn()
    {
        Fault = _ => new RaftException(RaftErrorCode.Corruption, "the state of this member differs from that of the majority");
        machine.Condemn();
    }

    /// <inheritdoc/>
    public ValueTask DisposeAsync()
    {
        lock (gate)
        {
            if (!closed)
            {
                closed = true;
                machine.Close();
            }
        }

        return ValueTask.CompletedTask;
    }

    private long Stamp => Math.Max(lastStamp, ClusterTime + (index * 1000));

    private void ThrowIfFaulty(bool write)
    {
        if (closed)
        {
            throw new RaftException(RaftErrorCode.Stopped, "the node is stopped");
        }

        if (Fault?.Invoke(write) is { } fault)
        {
            throw fault;
        }
    }
}
