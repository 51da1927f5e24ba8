using System.Security.Cryptography;
using Loom.Raft.Consensus;
using Loom.Raft.Host;
using Loom.Raft.Membership;
using Loom.Raft.Proposals;
using Loom.Raft.Reads;
using Loom.Raft.Replica;
using Loom.Raft.Snapshots;
using Loom.Raft.Transport;
using Microsoft.Extensions.Logging.Abstractions;

namespace Loom.Raft;

/// <summary>
/// A replica of a replicated state machine in this process: the facade over consensus, log and transport. It only wires; what it promises is on <see cref="IRaftNode"/>.
/// </summary>
public sealed class RaftNode : IRaftNode
{
    /// <summary>Calls that may wait for the cluster to form (P5); one more is refused.</summary>
    internal const int MaxFormationCalls = 4096;

    /// <summary>Transfers that may be unanswered (P5); one more is refused.</summary>
    internal const int MaxTransferCalls = 16;

    /// <summary>Captures that callers may hold (P5): each keeps history that compaction would free.</summary>
    internal const int MaxCaptures = 2;

    private readonly ReplicaHost host;
    private readonly RaftNodeOptions options;
    private readonly object closeGate = new();
    private Task? closing;
    private int formationCalls;
    private int captures;

    private RaftNode(ReplicaHost host, RaftNodeOptions options)
    {
        this.host = host;
        this.options = options;
    }

    /// <summary>
    /// Opens the data directory and starts the replica. Returns when it runs; a cluster that is not formed yet forms in the background
    /// (see <see cref="WaitForLeaderAsync"/> and <see cref="RaftNodeStatus.Obstacle"/>). The machine is opened, and closed when the node is disposed.
    /// </summary>
    /// <exception cref="RaftException">CannotOpen or Corruption: the message names what is wrong and what to do.</exception>
    public static Task<RaftNode> OpenAsync(RaftNodeOptions options, IReplicatedStateMachine machine, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(machine);
        Span<byte> seed = stackalloc byte[8];
        RandomNumberGenerator.Fill(seed);
        return OpenAsync(SettingsFor(options, BitConverter.ToUInt64(seed)), machine, cancellationToken);
    }

    /// <summary>For tests: with files, clock and seed of their own.</summary>
    internal static Task<RaftNode> OpenAsync(HostSettings settings, IReplicatedStateMachine machine, CancellationToken cancellationToken = default) =>
        Task.Run(
            () =>
            {
                var host = new ReplicaHost(settings, machine);
                host.Start(cancellationToken);
                return new RaftNode(host, settings.Options);
            },
            cancellationToken);

    internal static HostSettings SettingsFor(RaftNodeOptions options, ulong seed)
    {
        RaftNodeOptions copy = RaftNodeOptionsCheck.CopyAndValidate(options);
        return new HostSettings
        {
            Options = copy,
            Seed = seed,
            Log = (copy.LoggerFactory ?? NullLoggerFactory.Instance).CreateLogger("Loom.Raft"),
            Lanes = LaneSettings.For(copy.HeartbeatInterval, copy.ElectionTimeout, copy.MaxProposalBytes),
            Tls = OpenTls(copy),
        };
    }

    /// <summary>Before the directory is touched.</summary>
    private static TlsFiles? OpenTls(RaftNodeOptions options)
    {
        if (options.PeerTls is null) return null;
        try
        {
            return new TlsFiles(options.PeerTls, static () => MonotonicClock.Nanoseconds, (options.LoggerFactory ?? NullLoggerFactory.Instance).CreateLogger("Loom.Raft.Tls"));
        }
        catch (TlsFileException e)
        {
            throw new RaftException(RaftErrorCode.CannotOpen, $"The certificate for members cannot be used: {e.Message}; {e.Fix}.", inner: e);
        }
    }

    /// <inheritdoc/>
    public RaftNodeStatus Status => host.Status();

    /// <summary>
    /// How far the log was known to be committed when this node was opened: nothing beyond it was shown here by an earlier process. 0: the directory was new, or another one takes its place (E1).
    /// It does not change; what peers say since is in <see cref="Status"/>.
    /// </summary>
    public long RecoveredCommitIndex => host.RecoveredCommit;

    /// <inheritdoc/>
    public Configuration Configuration => host.Board.Configuration;

    /// <inheritdoc/>
    public ValueTask<ProposalResult> ProposeAsync(ReadOnlyMemory<byte> payload, CancellationToken cancellationToken = default) => ProposeAsync(payload, isReserved: false, cancellationToken);

    /// <inheritdoc/>
    public ValueTask<ProposalResult> ProposeAsync(ReadOnlyMemory<byte> payload, bool isReserved, CancellationToken cancellationToken = default)
    {
        ProposalPriority priority = isReserved ? ProposalPriority.Reserved : ProposalPriority.Normal;
        return host.IsFormed ? Propose(payload, priority, cancellationToken) : ProposeOnceFormedAsync(payload, priority, cancellationToken);
    }

    /// <inheritdoc/>
    public ValueTask<long> ReadBarrierAsync(CancellationToken cancellationToken = default) =>
        host.IsFormed ? ReadBarrier(cancellationToken) : ReadBarrierOnceFormedAsync(cancellationToken);

    /// <inheritdoc/>
    public async ValueTask TransferLeadershipAsync(MemberId target = default, CancellationToken cancellationToken = default)
    {
        await WaitUntilFormedAsync(cancellationToken).ConfigureAwait(false);
        Call<bool> call = host.TransferCalls.TryRent() ?? throw Overloaded();
        if (!host.TryPost(new TransferRequested(new TransferRequest(target, Deadline(), call)), 0)) call.Fail(Overloaded());
        _ = await call.Task.AsTask().WaitAsync(cancellationToken).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public async ValueTask<RaftSnapshot> CaptureSnapshotAsync(CancellationToken cancellationToken = default)
    {
        await WaitUntilFormedAsync(cancellationToken).ConfigureAwait(false);
        if (Interlocked.Increment(ref captures) > MaxCaptures)
        {
            ReleaseCapture();
            throw Overloaded();
        }
        try
        {
            CapturedSnapshot captured = await CaptureAsync(cancellationToken).ConfigureAwait(false);
            return new RaftSnapshot(captured.Manifest.ClusterId, captured.Manifest.Source, SnapshotManifestCodec.Encode(captured.Manifest), captured.State, ReleaseCapture);
        }
        catch
        {
            ReleaseCapture();
            throw;
        }
    }

    /// <summary>Completes once this replica knows a leader: the cluster is formed and has a quorum.</summary>
    /// <exception cref="RaftException">Failed or Stopped.</exception>
    /// <exception cref="OperationCanceledException">The token fired first.</exception>
    public Task WaitForLeaderAsync(CancellationToken cancellationToken = default) => WaitAsync(static status => !status.Leader.IsNone, cancellationToken);

    /// <summary>Completes once the status satisfies a condition, looked at whenever it changes.</summary>
    /// <exception cref="RaftException">Failed or Stopped.</exception>
    /// <exception cref="OperationCanceledException">The token fired first.</exception>
    public async Task WaitAsync(Func<RaftNodeStatus, bool> condition, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(condition);
        while (true)
        {
            Task changed = host.Board.Changed();
            RaftNodeStatus status = host.Board.Status;
            if (condition(status)) return;
            if (status.Failure is not null) throw new RaftException(RaftErrorCode.Failed, $"This member has failed: {status.Failure}");
            if (status.Role == "stopped") throw CallErrors.Of(RaftErrorCode.Stopped, WriteOutcome.NotApplied);
            await changed.WaitAsync(cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Stops new calls, hands leadership over, lets running calls end, flushes and closes; within five seconds (N5).</summary>
    public ValueTask DisposeAsync()
    {
        lock (closeGate) return new ValueTask(closing ??= Task.Run(CloseAsync));
    }

    private async Task CloseAsync()
    {
        await host.DrainAsync().ConfigureAwait(false);
        host.Dispose();
    }

    private ValueTask<ProposalResult> Propose(ReadOnlyMemory<byte> payload, ProposalPriority priority, CancellationToken cancellationToken)
    {
        if (cancellationToken.IsCancellationRequested) return ValueTask.FromException<ProposalResult>(CallErrors.CancelledBefore());
        Call<ProposalResult> call = host.ProposalCalls.Rent();
        var request = new ProposalRequest(payload, Deadline(), priority, call);
        ValueTask<ProposalResult> task = call.Task;
        if (cancellationToken.CanBeCanceled) call.CancelWith(Abandoning(new ProposalAbandoned(request), cancellationToken));
        if (!host.TryPost(new ProposalRequested(request), payload.Length)) call.Fail(Overloaded());
        // It may have fired before the request was in the inbox, where its abandonment would have come too early.
        else if (cancellationToken.IsCancellationRequested) host.Post(new ProposalAbandoned(request));
        return task;
    }

    private ValueTask<long> ReadBarrier(CancellationToken cancellationToken)
    {
        if (cancellationToken.IsCancellationRequested) return ValueTask.FromException<long>(CallErrors.CancelledBefore());
        Call<long> call = host.ReadCalls.Rent();
        var request = new ReadRequest(Deadline(), call);
        ValueTask<long> task = call.Task;
        if (cancellationToken.CanBeCanceled) call.CancelWith(Abandoning(new ReadAbandoned(request), cancellationToken));
        if (!host.TryPost(new ReadRequested(request), 0)) call.Fail(Overloaded());
        else if (cancellationToken.IsCancellationRequested) host.Post(new ReadAbandoned(request));
        return task;
    }

    private void ReleaseCapture() => _ = Interlocked.Decrement(ref captures);

    /// <summary>What comes after the caller left, or after its time, is given back at once. A loop that has ended answers nobody: then it is the time that ends the waiting.</summary>
    private async Task<CapturedSnapshot> CaptureAsync(CancellationToken cancellationToken)
    {
        var answer = new TaskCompletionSource<CapturedSnapshot>(TaskCreationOptions.RunContinuationsAsynchronously);
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        patience.CancelAfter(options.RequestTimeout);
        using CancellationTokenRegistration gone = patience.Token.UnsafeRegister(_ => answer.TrySetException(CallErrors.Of(RaftErrorCode.DeadlineExceeded, WriteOutcome.NotApplied)), null);
        var request = new CaptureRequested(captured =>
        {
            if (captured is null) _ = answer.TrySetException(NotCaptured());
            else if (!answer.TrySetResult(captured)) captured.State.Dispose();
        });
        if (!host.TryPost(request, 0)) throw Overloaded();
        return await answer.Task.ConfigureAwait(false);
    }

    private RaftException NotCaptured() => host.Board.Status switch
    {
        { Failure: { } failure } => new RaftException(RaftErrorCode.Failed, $"This member has failed: {failure}"),
        { QuarantinedAt: > 0 and var wrongAt } => new RaftException(RaftErrorCode.Corruption, $"The state of this member differs from that of the majority at entry {wrongAt}: it is not given away. Take it from another member."),
        { Role: "stopped" } or { AppliedIndex: > 0 } => CallErrors.Of(RaftErrorCode.Stopped, WriteOutcome.NotApplied),
        _ => new RaftException(RaftErrorCode.NoQuorum, "This member has applied nothing yet: there is no state to capture."),
    };

    private CancellationTokenRegistration Abandoning(ReplicaEvent abandoned, CancellationToken token) =>
        token.UnsafeRegister(static state =>
        {
            (ReplicaHost host, ReplicaEvent happened) = ((ReplicaHost, ReplicaEvent))state!;
            host.Post(happened);
        }, (host, abandoned));

    private async ValueTask<ProposalResult> ProposeOnceFormedAsync(ReadOnlyMemory<byte> payload, ProposalPriority priority, CancellationToken cancellationToken)
    {
        await WaitUntilFormedAsync(cancellationToken).ConfigureAwait(false);
        return await Propose(payload, priority, cancellationToken).ConfigureAwait(false);
    }

    private async ValueTask<long> ReadBarrierOnceFormedAsync(CancellationToken cancellationToken)
    {
        await WaitUntilFormedAsync(cancellationToken).ConfigureAwait(false);
        return await ReadBarrier(cancellationToken).ConfigureAwait(false);
    }

    /// <summary>As in a formed cluster calls wait three election timeouts for a leader, here they wait as long for the cluster (N5).</summary>
    private async Task WaitUntilFormedAsync(CancellationToken cancellationToken)
    {
        if (host.IsFormed) return;
        TimeSpan limit = TimeSpan.FromTicks(Math.Min(options.RequestTimeout.Ticks, 3 * options.ElectionTimeout.Ticks));
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        patience.CancelAfter(limit);
        try
        {
            if (Interlocked.Increment(ref formationCalls) > MaxFormationCalls) throw Overloaded();
            await WaitAsync(static status => status.ClusterId != 0, patience.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            if (cancellationToken.IsCancellationRequested) throw CallErrors.CancelledBefore();
            throw new RaftException(RaftErrorCode.NoQuorum, $"The cluster has not formed yet: {host.Obstacle ?? "the last members are being heard"}.");
        }
        finally
        {
            _ = Interlocked.Decrement(ref formationCalls);
        }
    }

    private static RaftException Overloaded() => CallErrors.Of(RaftErrorCode.Overloaded, WriteOutcome.NotApplied);

    private long Deadline() => host.Now + options.RequestTimeout.Ticks * 100;
}
