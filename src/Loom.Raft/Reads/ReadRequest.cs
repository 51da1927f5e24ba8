namespace Loom.Raft.Reads;

/// <summary>A caller's wish for a linearizable barrier (R1).</summary>
/// <param name="deadline">Absolute, ns.</param>
/// <param name="caller">The driver's own; never read in here.</param>
internal sealed class ReadRequest(long deadline, object? caller = null)
{
    public long Deadline { get; } = deadline;

    public object? Caller { get; } = caller;

    /// <summary>Completed or abandoned: the barrier drops it when it next meets it.</summary>
    internal bool Done { get; set; }
}

/// <summary>The barrier holds: everything committed before the request is applied here, at <paramref name="Index"/> or beyond; or it failed.</summary>
internal readonly record struct ReadCompletion(ReadRequest Request, RaftErrorCode Error, long Index)
{
    public bool Succeeded => Error == 0;
}
