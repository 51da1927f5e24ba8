using Loom.Simulation.Engine;

namespace Loom.Simulation.Network;

/// <summary>How bad this seed's network is. Many rates are zero in most seeds (swarm), or rare paths would drown in common ones.</summary>
internal sealed record NetworkRates
{
    public double Loss { get; init; }

    public double Duplicate { get; init; }

    /// <summary>Share of messages that take a detour of up to <see cref="ReorderBy"/>.</summary>
    public double Reorder { get; init; }

    public long ReorderBy { get; init; }

    public long LocalLatency { get; init; }

    /// <summary>One way, between datacenters.</summary>
    public long WideLatency { get; init; }

    /// <summary>Latencies keep etcd's rule of thumb, an election timeout of at least ten round trips: less is a setting in which no Raft elects reliably.</summary>
    public static NetworkRates Draw(SimRandom random, long electionTimeout) => new()
    {
        Loss = random.Chance(0.4) ? random.Double() * random.Double() * 0.3 : 0,
        Duplicate = random.Chance(0.3) ? random.Double() * 0.3 : 0,
        Reorder = random.Chance(0.4) ? random.Double() * 0.2 : 0,
        ReorderBy = random.Between(1, 200) * Ns.Millisecond,
        LocalLatency = random.Between(20, 400) * Ns.Microsecond,
        WideLatency = random.Chance(0.5) ? random.Between(100, 1000) * Ns.Microsecond : random.Between(1000, electionTimeout / 20 / Ns.Microsecond) * Ns.Microsecond,
    };
}

/// <summary>
/// Moves messages between members. The datagram lane (consensus) may lose, duplicate and reorder everything: it is worse than the TCP it stands for, and the core must bear it.
/// The stream lane (proposals and receipts) keeps order and never duplicates, and loses whole tails when its connection breaks: P3's answers stand on that, as on TCP.
/// </summary>
internal sealed class SimNetwork(Scheduler scheduler, SimRandom random, NetworkRates rates, IReadOnlyList<int> datacenters)
{
    private readonly int nodes = datacenters.Count;
    private readonly bool[] cut = new bool[datacenters.Count * datacenters.Count];
    private readonly long[] cloggedUntil = new long[datacenters.Count * datacenters.Count];
    private readonly long[] datagramFreeAt = new long[datacenters.Count * datacenters.Count];
    private readonly long[] streamFreeAt = new long[datacenters.Count * datacenters.Count];
    private readonly int[] streamGeneration = new int[datacenters.Count * datacenters.Count];

    public long Delivered { get; private set; }

    public long Dropped { get; private set; }

    /// <summary>Told when a stream's connection ends by loss, and when a link is cut.</summary>
    public Action<int, int>? StreamBroken { get; set; }

    public Action<int, int>? LinkCut { get; set; }

    /// <summary>No loss, no duplicates, no detours any more: the second phase.</summary>
    public bool Calm { get; set; }

    /// <summary>Between datacenters, on the average.</summary>
    public long WideRoundTrip => 2 * rates.WideLatency;

    public bool IsCut(int from, int to) => cut[(from * nodes) + to];

    public void Cut(int from, int to)
    {
        cut[(from * nodes) + to] = true;
        LinkCut?.Invoke(from, to);
    }

    public void Heal(int from, int to) => cut[(from * nodes) + to] = false;

    public void HealAll()
    {
        Array.Clear(datagramFreeAt);
        Array.Clear(cut);
        Array.Clear(cloggedUntil);
    }

    /// <summary>Holds everything on one link until a time; then it arrives at once.</summary>
    public void Clog(int from, int to, long until) => cloggedUntil[(from * nodes) + to] = Math.Max(cloggedUntil[(from * nodes) + to], until);

    /// <summary>What is under way on this stream is lost: its connection ended.</summary>
    public void BreakStream(int from, int to) => streamGeneration[(from * nodes) + to]++;

    public void SendDatagram(int from, int to, Action deliver)
    {
        int link = (from * nodes) + to;
        if (cut[link] || (!Calm && random.Chance(rates.Loss)))
        {
            Dropped++;
            return;
        }

        int copies = !Calm && random.Chance(rates.Duplicate) ? 2 : 1;
        for (int i = 0; i < copies; i++)
        {
            long at = Math.Max(scheduler.Now, cloggedUntil[link]) + Latency(from, to);
            if (!Calm && random.Chance(rates.Reorder))
            {
                at += random.Between(0, rates.ReorderBy);
            }
            else
            {
                // Otherwise in order, as on the connection that it stands for.
                at = datagramFreeAt[link] = Math.Max(at, datagramFreeAt[link]);
            }

            // A cut also ends what is under way.
            scheduler.At(at, () => Deliver(link, deliver));
        }
    }

    public void SendStream(int from, int to, Action deliver)
    {
        int link = (from * nodes) + to;
        if (cut[link])
        {
            Dropped++;
            return;
        }

        // A lost segment of a stream is sent again: it costs time, not the message, except when the connection ends over it.
        long delay = Latency(from, to);
        if (!Calm && random.Chance(rates.Loss))
        {
            delay += 200 * Ns.Millisecond;
            if (random.Chance(0.2))
            {
                StreamBroken?.Invoke(from, to);
                return;
            }
        }

        long at = Math.Max(Math.Max(scheduler.Now, cloggedUntil[link]) + delay, streamFreeAt[link]);
        streamFreeAt[link] = at;
        int generation = streamGeneration[link];
        scheduler.At(at, () =>
        {
            if (generation == streamGeneration[link])
            {
                Deliver(link, deliver);
            }
            else if (!Calm && random.Chance(0.5))
            {
                // It had arrived before the connection ended and is read only now, perhaps after what the next connection brought.
                scheduler.After(random.Between(0, 500 * Ns.Millisecond), () => Deliver(link, deliver));
            }
            else
            {
                Dropped++;
            }
        });
    }

    private void Deliver(int link, Action deliver)
    {
        if (cut[link])
        {
            Dropped++;
            return;
        }

        Delivered++;
        deliver();
    }

    private long Latency(int from, int to)
    {
        long mean = datacenters[from] == datacenters[to] ? rates.LocalLatency : rates.WideLatency;
        return mean + random.Tail(mean / 4);
    }
}
