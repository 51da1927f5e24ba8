using Loom.Raft.Consensus;
using Loom.Raft.Proposals;

namespace Loom.Raft.Transport;

/// <summary>All connections of a member to its peers (N1, N2): a listener, and per peer a control and a forward lane, and one bulk lane for a snapshot of ours. Sends drop rather than wait. Peers come and go with the configuration (E4).</summary>
internal sealed class PeerTransport : IDisposable
{
    private readonly TransportContext context;
    private readonly IReadOnlyDictionary<string, TimeSpan> testDelays;
    private readonly List<PeerListener> listeners = [];
    private readonly object gate = new();
    private volatile Peer[] peers = [];
    private ulong nextSeed;
    private bool started;
    private bool closed;

    /// <summary>Binds the listening addresses; nothing is accepted or dialled before <see cref="Start"/>.</summary>
    /// <exception cref="RaftException">CannotOpen: an address cannot be used.</exception>
    public PeerTransport(
        MemberId self, IReadOnlyList<PeerTarget> targets, IReadOnlyList<string> listenUrls, IReadOnlyDictionary<string, TimeSpan> testDelays, ulong seed, TransportContext context)
    {
        this.context = context;
        Bulk = new BulkDialler(context, Find);
        this.testDelays = testDelays;
        nextSeed = seed;
        foreach (string url in targets.SelectMany(t => t.Urls)) _ = PeerAddress.Parse(url);
        Reconcile(targets);
        try
        {
            foreach (string url in listenUrls) listeners.Add(new PeerListener(PeerAddress.Parse(url), self, context, Find));
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>The peers as they are now.</summary>
    public IEnumerable<PeerTarget> Targets => peers.Select(peer => peer.Target);

    /// <summary>Dials the member that gives a snapshot.</summary>
    public BulkDialler Bulk { get; }

    public void Start()
    {
        foreach (PeerListener listener in listeners) listener.Start();
        lock (gate)
        {
            started = !closed;
            if (started) foreach (Peer peer in peers) peer.Start();
        }
    }

    /// <summary>From now on these are the peers: new ones are dialled, who is not among them is hung up on, who stays as it was keeps its connections. Does not wait.</summary>
    public void Reconcile(IReadOnlyList<PeerTarget> targets)
    {
        lock (gate)
        {
            if (closed) return;
            Peer[] before = peers;
            peers = [.. targets.Select(target => Array.Find(before, peer => peer.Target.IsSame(target)) ?? NewPeer(target))];
            foreach (Peer gone in before.Except(peers)) gone.Dispose();
            if (started) foreach (Peer added in peers.Except(before)) added.Start();
        }
    }

    public void Send(Message message) => _ = Find(message.To)?.Lane(LaneKind.Control).Send(message);

    public void Send(ForwardMessage message) => _ = Find(message.To)?.Lane(LaneKind.Forward).Send(message);

    public bool IsUp(MemberId peer, LaneKind lane) => Find(peer)?.IsUp(lane) ?? false;

    /// <summary>Why a peer is not connected, as last seen; empty: it is, or nothing is known yet.</summary>
    public string TroubleOf(MemberId id) => Find(id)?.Lane(LaneKind.Control).Trouble ?? "";

    /// <summary>Connected, round trip in ms (NaN: unknown), suspicion.</summary>
    public (bool Connected, double Rtt, double Suspicion) StatusOf(MemberId id) =>
        Find(id) is { } peer ? (peer.IsUp(LaneKind.Control), peer.Health.RttMilliseconds, peer.Health.Suspicion(context.Now())) : (false, double.NaN, 0);

    /// <summary>Asks every peer's lanes to try again now: what this member has to say has changed.</summary>
    public void Redial()
    {
        foreach (Peer peer in peers) peer.DialNow();
    }

    /// <summary>Breaks the connections with a peer: it must shake hands again.</summary>
    public void HangUp(MemberId peer) => Find(peer)?.HangUp();

    /// <summary>Closes the port and breaks every connection, without waiting for the threads. More than once is fine.</summary>
    public void Close()
    {
        lock (gate) closed = true;
        foreach (PeerListener listener in listeners) listener.Dispose();
        Bulk.Close();
        foreach (Peer peer in peers) peer.Dispose();
    }

    public void Dispose()
    {
        Close();
        long until = context.Now() + 500_000_000;
        foreach (Peer peer in peers) peer.Join(until);
    }

    private Peer NewPeer(PeerTarget target)
    {
        _ = testDelays.TryGetValue(target.Datacenter, out TimeSpan delay);
        nextSeed += 2;
        return new Peer(target, context, delay, nextSeed);
    }

    private Peer? Find(MemberId id)
    {
        foreach (Peer peer in peers)
        {
            if (peer.Target.Id == id) return peer;
        }
        return null;
    }
}
