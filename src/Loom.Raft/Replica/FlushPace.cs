namespace Loom.Raft.Replica;

/// <summary>
/// E8: a leader's disk that does not hang but is slow. Takes a sample of what was appended every few milliseconds and compares when a quorum had it committed with when it was flushed here.
/// Where this disk is needed for the quorum the two times are equal, so a leader never finds itself slow while nobody could do without it; and where all disks are slow alike nobody is better.
/// The quorum's time contains the network: over wide links the leader's disk may be as slow as four round trips before it matters.
/// </summary>
internal sealed class FlushPace
{
    /// <summary>How long it must have been slow (E8).</summary>
    private const long Window = 5_000_000_000;

    /// <summary>Below that nobody is helped by a hand-over.</summary>
    private const long Floor = 20_000_000;
    private const long SampleInterval = 50_000_000;
    private const int Ratio = 4;
    private const int FewestSamples = 20;

    /// <summary>Bound: a window of samples, and as many again that wait for their flush. When it is full no sample is taken.</summary>
    private const int MostSamples = 200;

    private readonly List<Sample> samples = [];
    private readonly List<long> sorted = [];
    private long nextSample;
    private long sampledIndex;
    private long slowSince = long.MaxValue;

    // The first sample that is not committed yet, and the first that is not flushed here: indexes ascend, and so do both.
    private int committed;
    private int flushed;

    /// <summary>Leads no more, or starts to: nothing is known.</summary>
    public void Clear()
    {
        samples.Clear();
        committed = flushed = 0;
        slowSince = long.MaxValue;
        sampledIndex = 0;
    }

    /// <summary>True: over the last five seconds the median flush here took more than four times as long as the median commit.</summary>
    /// <param name="now">The monotonic clock.</param>
    /// <param name="last">Index of the last entry appended here.</param>
    /// <param name="commit">Commit index.</param>
    /// <param name="durable">Up to where this disk has flushed.</param>
    public bool IsSlow(long now, long last, long commit, long durable)
    {
        bool news = Finish(now, commit, durable);
        if (last > sampledIndex && now >= nextSample && samples.Count < MostSamples)
        {
            samples.Add(new Sample(last, now, 0, 0));
            (nextSample, sampledIndex) = (now + SampleInterval, last);
        }

        if (news)
        {
            Judge(now);
        }

        return now - slowSince >= Window;
    }

    private bool Finish(long now, long commit, long durable)
    {
        for (; committed < samples.Count && commit >= samples[committed].Index; committed++)
        {
            samples[committed] = samples[committed] with { Committed = Math.Max(1, now - samples[committed].At) };
        }

        bool news = flushed < samples.Count && durable >= samples[flushed].Index;
        for (; flushed < samples.Count && durable >= samples[flushed].Index; flushed++)
        {
            samples[flushed] = samples[flushed] with { Flushed = Math.Max(1, now - samples[flushed].At) };
        }

        int old = 0;
        while (old < samples.Count && samples[old].IsWhole && now - samples[old].At > Window)
        {
            old++;
        }

        samples.RemoveRange(0, old);
        committed -= old;
        flushed -= old;
        return news;
    }

    private void Judge(long now)
    {
        if (Median(static s => s.Flushed) is var own && own > Floor && own > Ratio * Median(static s => s.Committed))
        {
            slowSince = Math.Min(slowSince, now);
        }
        else
        {
            slowSince = long.MaxValue;
        }
    }

    /// <summary>0 while there are too few.</summary>
    private long Median(Func<Sample, long> time)
    {
        sorted.Clear();
        foreach (Sample sample in samples)
        {
            if (sample.IsWhole)
            {
                sorted.Add(time(sample));
            }
        }

        if (sorted.Count < FewestSamples)
        {
            return 0;
        }

        sorted.Sort();
        return sorted[sorted.Count / 2];
    }

    /// <summary>An index, when it was appended, and how long it took to be committed and to be flushed here; 0: not yet.</summary>
    private readonly record struct Sample(long Index, long At, long Committed, long Flushed)
    {
        public bool IsWhole => Committed > 0 && Flushed > 0;
    }
}
