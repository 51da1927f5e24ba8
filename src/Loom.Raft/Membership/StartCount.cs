namespace Loom.Raft.Membership;

/// <summary>How often a formed member was started, and by which processes: its lineage, by which an old copy that was started as often, or more often, is still told from the directory itself (E1).</summary>
/// <param name="Starts">This one included; 0 until it is formed.</param>
/// <param name="Earlier">The random numbers of the processes of the starts before this one, the latest first; at most <see cref="MaxEarlier"/>, and fewer only where there were fewer.</param>
internal readonly record struct StartCount(ulong Starts, IReadOnlyList<ulong> Earlier)
{
    /// <summary>How far back the lineage goes. Beyond it only the numbers are compared.</summary>
    public const int MaxEarlier = 63;

    /// <summary>Not formed.</summary>
    public static StartCount None { get; } = new(0, []);

    /// <summary>The next start.</summary>
    /// <param name="last">The process of this one; not looked at where there was none.</param>
    public StartCount Next(ulong last) => new(Starts + 1, Starts == 0 ? [] : [last, .. Earlier.Take(MaxEarlier - 1)]);

    /// <summary>The process of an earlier start, or null: it is too long ago.</summary>
    public ulong? ProcessOf(ulong start) => start >= Starts || Starts - start > (ulong)Earlier.Count ? null : Earlier[(int)(Starts - start) - 1];
}
