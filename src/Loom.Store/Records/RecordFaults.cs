namespace Loom.Store.Records;

/// <summary>
/// The first failure of a device or of FASTER ends the replica: FASTER only logs such errors, never repeats a failed page, and would serve what is not there.
/// From the first report on every call of the store throws it.
/// </summary>
internal sealed class RecordFaults(Action<Exception>? onFault)
{
    private Exception? first;
    private volatile bool closed;

    public bool Any => Volatile.Read(ref first) is not null;

    public void Report(Exception fault)
    {
        if (Interlocked.CompareExchange(ref first, fault, null) is null && !closed)
        {
            onFault?.Invoke(fault);
        }
    }

    /// <summary>The store closes: what fails from here on fails because of that, and is nobody's alarm.</summary>
    public void Close() => closed = true;

    public void ThrowIfAny()
    {
        if (Volatile.Read(ref first) is { } fault)
        {
            throw closed ? Faults.Closed() : new LoomException(LoomErrorCode.Failed, $"The record store of this replica failed and serves nothing more: {fault.Message}", Raft.WriteOutcome.Unknown, fault);
        }
    }
}
