using DotNext.Diagnostics;

namespace Loom.Raft.Transport;

/// <summary>
/// Round-trip time and suspicion of one peer, for status (and later the autopilot); no vote depends on it. Fed by pings, which come at a fixed rate whatever else
/// travels: the accrual detector estimates their spacing. Takes time as an argument.
/// </summary>
internal sealed class PeerHealth
{
    private const double Threshold = 8;

    private readonly object gate = new();
    private readonly PhiAccrualFailureDetector detector;
    private double rtt = double.NaN;
    private bool heard;

    public PeerHealth(long pingInterval)
    {
        TimeSpan interval = TimeSpan.FromTicks(pingInterval / 100);
        // MinStdDeviation of half an interval: the default of 500 ms took 3.6 s to suspect a peer that beats every 100 ms.
        detector = new PhiAccrualFailureDetector(interval) { Threshold = Threshold, MinStdDeviation = interval / 2 };
    }

    public double RttMilliseconds
    {
        get
        {
            lock (gate) return rtt;
        }
    }

    public void PingArrived(long now)
    {
        lock (gate)
        {
            heard = true;
            var stamp = StampOf(now);
            // A detector over its threshold ignores every further beat: it has to forget first, or the peer stays suspect for ever.
            if (detector.GetValue(stamp) >= Threshold) detector.Reset();
            detector.ReportHeartbeat(stamp);
        }
    }

    public void PongArrived(long sentAt, long now)
    {
        double sample = (now - sentAt) / 1e6;
        if (sample < 0) return;
        lock (gate) rtt = double.IsNaN(rtt) ? sample : rtt + (sample - rtt) / 4;
    }

    /// <summary>0 when never heard; infinite silence is reported as 100.</summary>
    public double Suspicion(long now)
    {
        lock (gate) return heard ? Math.Min(100, detector.GetValue(StampOf(now))) : 0;
    }

    private static Timestamp StampOf(long now) => new(TimeSpan.FromTicks(now / 100));
}
