using System.Globalization;

namespace Loom.Simulation.Engine;

/// <summary>
/// What happened, as a rolling hash (two runs of a seed must agree on it, section V of docs/protocol.md) and as the last lines for whoever has to understand a failure.
/// A line is four numbers and a constant text, formatted only when it is shown: tracing must not be what a simulation spends its time on.
/// </summary>
internal sealed class Trace(Scheduler scheduler, TextWriter? verbose)
{
    private const int Kept = 64;
    private readonly Line[] ring = new Line[Kept];
    private long count;

    public ulong Hash { get; private set; } = 14695981039346656037UL;

    /// <summary>Adds a line. <paramref name="what"/> is a constant: it names the event; {0} to {3} stand for the numbers.</summary>
    public void Add(int node, string what, long a = 0, long b = 0, long c = 0, long d = 0)
    {
        ulong hash = Hash;
        hash = Mix(hash, (ulong)scheduler.Now);
        hash = Mix(hash, ((ulong)(uint)node << 32) | (uint)what.Length | ((ulong)what[0] << 16));
        hash = Mix(hash, (ulong)a);
        hash = Mix(hash, (ulong)b);
        hash = Mix(hash, (ulong)c);
        Hash = Mix(hash, (ulong)d);

        Line line = new(scheduler.Now, node, what, a, b, c, d);
        ring[count++ % Kept] = line;
        verbose?.WriteLine(line.ToString());
    }

    public IEnumerable<string> LastLines(int lines)
    {
        long first = Math.Max(0, count - Math.Min(lines, Kept));
        for (long i = first; i < count; i++)
        {
            yield return ring[i % Kept].ToString();
        }
    }

    private static ulong Mix(ulong hash, ulong value)
    {
        hash ^= value;
        hash *= 0x9E3779B97F4A7C15UL;
        return hash ^ (hash >> 29);
    }

    private readonly record struct Line(long Time, int Node, string What, long A, long B, long C, long D)
    {
        public override string ToString() => string.Create(
            CultureInfo.InvariantCulture,
            $"{Time / 1e9,11:F6} {(Node < 0 ? "  " : "n" + Node.ToString(CultureInfo.InvariantCulture))} {string.Format(CultureInfo.InvariantCulture, What, A, B, C, D)}");
    }
}
