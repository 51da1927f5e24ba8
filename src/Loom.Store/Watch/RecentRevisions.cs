namespace Loom.Store.Watch;

/// <summary>
/// The newest revisions, without a gap, for watchers that are at most a little late: bounded in revisions and in bytes (the newest alone may have eight times as many), the oldest go first. Until somebody watches it keeps nothing.
/// Its lock is held for a few copies of references only: the applier takes it once per batch.
/// </summary>
internal sealed class RecentRevisions(int maxRevisions, long maxBytes)
{
    private const int LargestTimes = 8;

    private readonly Lock gate = new();
    private readonly PublishedRevision?[] places = new PublishedRevision?[maxRevisions];
    private long first = 1;
    private long next = 1;
    private long bytes;
    private bool keeps;

    /// <summary>From now on it keeps what is published.</summary>
    public bool Keeps
    {
        get => Volatile.Read(ref keeps);
        set => Volatile.Write(ref keeps, value);
    }

    /// <summary>The applier: revisions that follow each other. Where they do not join what is there, because nothing was kept before, that is forgotten.</summary>
    public void Add(ReadOnlySpan<PublishedRevision> revisions)
    {
        lock (gate)
        {
            if (revisions[0].Revision != next)
            {
                Clear(revisions[0].Revision);
            }

            foreach (PublishedRevision revision in revisions)
            {
                Add(revision);
            }
        }
    }

    /// <summary>Forgets everything: the state is another one, at this revision.</summary>
    public void Reset(long revision)
    {
        lock (gate)
        {
            Clear(revision + 1);
        }
    }

    /// <summary>Copies what it has from a revision on, as far as it fits. False: that revision is not here any more, or not yet.</summary>
    public bool TryCopy(long from, Span<PublishedRevision> copies, out int count)
    {
        lock (gate)
        {
            count = 0;
            if (from < first || from >= next)
            {
                return false;
            }

            count = (int)Math.Min(copies.Length, next - from);
            for (int i = 0; i < count; i++)
            {
                copies[i] = places[Place(from + i)]!;
            }

            return true;
        }
    }

    private int Place(long revision) => (int)(revision % maxRevisions);

    private void Add(PublishedRevision revision)
    {
        places[Place(next++)] = revision;
        bytes += revision.Bytes;

        // The newest stays until the next one comes, though it is larger than all of them may be together: every live watch looks at it, and none should have to read it from the history. It was in memory
        // as a whole a moment ago; but one that is far too large (a transaction that deletes millions of keys) is not held on to.
        while (next - first > maxRevisions - 1 || (bytes > maxBytes && (next - first > 1 || bytes > LargestTimes * maxBytes) && first < next))
        {
            ref PublishedRevision? oldest = ref places[Place(first++)];
            bytes -= oldest!.Bytes;
            oldest = null;
        }
    }

    private void Clear(long revision)
    {
        Array.Clear(places);
        first = next = revision;
        bytes = 0;
    }
}
