using System.Collections.Concurrent;
using Loom.Raft.Consensus;
using Loom.Raft.Host;
using Loom.Raft.Membership;
using Loom.Raft.Replica;
using Loom.Raft.Snapshots;
using Loom.Raft.Tests.Transport;
using Loom.Raft.Transport;
using Microsoft.Extensions.Logging.Abstractions;
using NUnit.Framework;

namespace Loom.Raft.Tests.Snapshots;

/// <summary>A member without a replica: real sockets and threads, a source of a given state, and a fetcher.</summary>
internal sealed class TransferMember : ISnapshotOrigin, ISnapshotNeed, IDisposable
{
    public const long Index = 1000;

    private readonly MemberId id;
    private readonly IReadOnlyList<PeerTarget> targets;
    private readonly string datacenter;
    private readonly string url;
    private readonly Thread fetching;
    private PeerTransport transport;
    private ulong captures;
    private volatile bool fetchFailed;

    public TransferMember(MemberId id, string datacenter, string url, IReadOnlyList<PeerTarget> targets, SourceLimits? limits = null, long bytesPerSecond = long.MaxValue / 4)
    {
        (this.id, this.datacenter, this.url, this.targets) = (id, datacenter, url, targets);
        Source = new SnapshotSource(this, new SnapshotPace(bytesPerSecond, static () => false), limits ?? new SourceLimits(), static () => MonotonicClock.Nanoseconds, NullLogger.Instance);
        Fetcher = new SnapshotFetcher(
            id, this, new FetchLimits { BackOffFirst = 1_000_000, BackOffMost = 20_000_000, Pause = 20_000_000, TroublePause = 50_000_000 },
            static () => MonotonicClock.Nanoseconds, NullLogger.Instance);
        Events.OnServe = Source.Serve;
        transport = Open();
        fetching = new Thread(Fetch) { IsBackground = true };
        fetching.Start();
    }

    public LaneEvents Events { get; } = new();

    public SnapshotSource Source { get; }

    public SnapshotFetcher Fetcher { get; }

    /// <summary>What it gives; null: it refuses.</summary>
    public byte[]? State { get; set; }

    public MemberId? Leader { get; set; }

    /// <summary>It is said to be filling its state itself.</summary>
    public bool SaysFetching { get; set; }

    public Action<ByteState> OnCaptured { get; set; } = static _ => { };

    public Action<ByteInstallation> OnBegun { get; set; } = static _ => { };

    public List<ByteState> Captured { get; } = [];

    public List<ByteInstallation> Begun { get; } = [];

    public BlockingCollection<(SnapshotManifest Manifest, ByteInstallation Installation)> Done { get; } = [];

    public ulong ClusterId => 1;

    public (SnapshotManifest Manifest, ByteInstallation Installation) Take(int seconds = 20)
    {
        Assert.That(Done.TryTake(out (SnapshotManifest, ByteInstallation) done, seconds * 1000), $"no snapshot in {seconds} s");
        Assert.That(done.Item2.Completed && !done.Item2.Disposed);
        return done;
    }

    public SnapshotRefusal? Refuse(long minIndex) =>
        SaysFetching ? new SnapshotRefusal(RefusalReason.Fetching, Fetcher.Progress?.Bytes ?? 0, "it fetches, too")
        : State is null ? new SnapshotRefusal(RefusalReason.TooOld, 0, "it has nothing")
        : null;

    public void Capture(Action<CapturedSnapshot?> captured)
    {
        var at = new StatePosition(Index, 3, new byte[] { 9 });
        var state = new ByteState(State!, at);
        OnCaptured(state);
        Captured.Add(state);
        var configuration = new Configuration(PlacementGoal.Majority, [new Member(id, 1, "a", "dc", MemberRole.Voter, [], [])], []);
        captured(new CapturedSnapshot(new SnapshotManifest(++captures + id.Value * 100, ClusterId, id, 3, at, new ConfigurationAt(0, configuration), state.Header), state));
    }

    public IReadOnlyList<SourceCandidate> Candidates() =>
        [.. targets.Select(t => new SourceCandidate(t.Id, t.Datacenter == datacenter, t.Id == Leader, transport.IsUp(t.Id, LaneKind.Control), transport.StatusOf(t.Id).Rtt))];

    public BulkConnection Dial(MemberId source) => transport.Bulk.Dial(source);

    public void HangUp() => transport.Bulk.HangUp();

    public IStateInstallation BeginInstall(SnapshotManifest manifest)
    {
        Assert.That(manifest.Header.ToArray(), Is.EqualTo(new byte[] { 1, 2, 3 }));
        var installation = new ByteInstallation(manifest.At);
        OnBegun(installation);
        Begun.Add(installation);
        return installation;
    }

    public void Collected(SnapshotManifest manifest, IStateInstallation installation) => Done.Add((manifest, (ByteInstallation)installation));

    public void WaitUntilUp()
    {
        long until = MonotonicClock.Nanoseconds + 5_000_000_000;
        while (!targets.All(t => transport.IsUp(t.Id, LaneKind.Control)))
        {
            if (MonotonicClock.Nanoseconds > until) Assert.Fail("the lanes did not come up");
            Thread.Sleep(2);
        }
    }

    /// <summary>Its process dies, as far as the others can see.</summary>
    public void Die()
    {
        Events.OnServe = static _ => { };
        transport.Dispose();
    }

    public void Dispose()
    {
        Fetcher.Stop();
        transport.Dispose();
        bool closed = Source.Close(MonotonicClock.Nanoseconds + 5_000_000_000);
        Assert.That(closed && fetching.Join(5000), "a thread did not end");
        Assert.That((Events.Failure, fetchFailed), Is.EqualTo(((Exception?)null, false)), "a thread failed");
        Assert.That(Captured.All(c => c.Disposed), "a capture was not given back");
    }

    private void Fetch()
    {
        try
        {
            Fetcher.Run();
        }
        catch (Exception)
        {
            fetchFailed = true;
            throw;
        }
    }

    private PeerTransport Open()
    {
        var opened = new PeerTransport(id, targets, [url], new Dictionary<string, TimeSpan>(), id.Value, LaneTests.Context(Events, new LaneSettings { PingInterval = 50_000_000, SilenceLimit = 2_000_000_000 }, id));
        opened.Start();
        return opened;
    }
}
