namespace Loom.Server.Hosting;

/// <summary>Says whether a line may be logged again of what a client can repeat at will: at most one in ten seconds, or it would fill the disk.</summary>
internal sealed class SeldomLine
{
    private const long QuietMilliseconds = 10_000;
    private long quietUntil = long.MinValue;

    public bool TryTake() => TryTake(Environment.TickCount64);

    internal bool TryTake(long now)
    {
        long until = Interlocked.Read(ref quietUntil);
        return now >= until && Interlocked.CompareExchange(ref quietUntil, now + QuietMilliseconds, until) == until;
    }
}
