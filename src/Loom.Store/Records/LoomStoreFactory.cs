namespace Loom.Store.Records;

/// <summary>Puts a store together: the machine, its records on FASTER in <c>DataDirectory/records</c> (emptied: the state is rebuilt by replaying the log), and the node.</summary>
internal static class LoomStoreFactory
{
    public static ValueTask<LoomStore> OpenAsync(LoomOptions options, CancellationToken cancellationToken)
    {
        LoomOptions copy = options.Copy();
        List<string> faults = copy.Faults();
        if (faults.Count > 0)
        {
            throw new LoomException(LoomErrorCode.CannotOpen, "LOOM1019: the options cannot be used. Nothing was opened. " + string.Join(" ", faults));
        }

        throw new LoomException(LoomErrorCode.CannotOpen, "LOOM1019: no node yet.");
    }
}
