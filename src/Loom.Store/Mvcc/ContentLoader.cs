namespace Loom.Store.Mvcc;

/// <summary>Sums of a state that is loaded key by key: from a snapshot, or by a scan of records.</summary>
internal sealed class ContentLoader
{
    private readonly List<(long Expiry, RecordMark Mark)> expiring = [];
    private ContentSums sums;

    /// <summary>What was added so far.</summary>
    public ContentSums Sums => sums;

    /// <summary>All versions of one key that the state holds, oldest first.</summary>
    public void Add(ReadOnlySpan<KeyVersion> versions)
    {
        for (int i = 0; i < versions.Length; i++)
        {
            sums = sums.With(versions[i].Mark);
            long main = versions[i].At.Main;
            long next = i + 1 < versions.Length ? versions[i + 1].At.Main : long.MaxValue;
            if (versions[i].IsDeleted)
            {
                expiring.Add((Math.Min(next, main + 1), versions[i].Mark));
            }
            else if (next != long.MaxValue)
            {
                expiring.Add((next, versions[i].Mark));
            }
        }
    }

    /// <summary>The content, to be kept up by the applier from here on.</summary>
    public StateContent Complete() => StateContent.Load(sums, expiring);
}
