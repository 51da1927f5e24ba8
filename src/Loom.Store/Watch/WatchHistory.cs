using System.Runtime.InteropServices;
using Loom.Store.Applying;
using Loom.Store.Model;
using Loom.Store.Mvcc;

namespace Loom.Store.Watch;

/// <summary>
/// Events of the past, from index and records (S2 keeps every version above the compacted revision): in bounded steps, on the thread of the reader, while the applier goes on.
/// A range of few keys is found in the index; a wide one, or a short time, by going through the revisions one by one: the key of a record is its revision.
/// </summary>
internal static class WatchHistory
{
    // A step ends behind the revision with which it has so many events, or so many bytes; and nothing more is read once so many bytes were, whosever they are.
    private const int MaxEvents = 1000;
    private const long MaxBytes = 1 << 20;

    // Revisions of one step, and up to which nothing is searched.
    private const int Page = 256;

    // Records that are read together: few at first, as nobody knows how large they are.
    private const int FirstReads = 8;
    private const int MaxReads = 64;

    // Versions that the index may look at before going through the revisions is the better way.
    private const int IndexBudget = 16_384;

    // Changes of one revision that are read together, once it is known to have many.
    private const int SubPage = 256;

    /// <summary>
    /// Adds the events of revisions from <paramref name="from"/> on to <paramref name="found"/>, whole revisions, in order. Returns the revision through which they are complete, at most
    /// <paramref name="upTo"/>; 0: <paramref name="from"/> is compacted.
    /// </summary>
    public static long Read(StateGeneration state, WatchQuery query, long from, long upTo, List<PublishedEvent> found)
    {
        RecordKey? missed = null;
        while (true)
        {
            long compacted = state.CompactRevision;
            if (from < compacted)
            {
                return 0;
            }

            try
            {
                // At the compacted revision itself not every change is there any more, and only the index knows which.
                long read = from == compacted ? ReadCompacted(state, query, from, found)
                    : upTo - from >= Page && TryReadByKeys(state, query, from, upTo, found, out long through) ? through
                    : ReadByRevisions(state, query, from, Math.Min(upTo, from + Page - 1), found);

                // Compaction publishes its revision before it trims: only then can something have been missed, of the first revision too if that is the compacted one now.
                long now = state.CompactRevision;
                if (now == compacted || now < from)
                {
                    return read;
                }
            }
            catch (RecordGoneException gone)
            {
                // Trimming takes a change out of the index before its record goes: in the compacted revision, the same one is missed once at most.
                long now = state.CompactRevision;
                if (now < from || (now == compacted && gone.At == missed))
                {
                    throw Corruption(gone);
                }

                missed = gone.At;
            }

            found.Clear();
        }
    }

    /// <summary>The pair before an event; null: none, or it is compacted.</summary>
    public static KeyValue? Previous(Func<StateGeneration> current, PublishedEvent change)
    {
        long at = change.Plain.Pair.ModRevision - 1;
        while (true)
        {
            StateGeneration state = current();
            if (at < state.CompactRevision)
            {
                return null;
            }

            try
            {
                KeyValue? pair = state.Index.TryFind(change.Key, at, out RecordKey record) ? RecordReads.Read(state.Records, record, change.Key) : null;
                if (at >= state.CompactRevision)
                {
                    return pair;
                }
            }
            catch (RecordGoneException gone)
            {
                if (at >= state.CompactRevision)
                {
                    throw Corruption(gone);
                }
            }
            catch (LoomException fault) when (fault.Code == LoomErrorCode.Stopped && current() != state)
            {
            }
        }
    }

    private static long ReadCompacted(StateGeneration state, WatchQuery query, long revision, List<PublishedEvent> found)
    {
        List<RecordKey> keys = [];
        byte[] start = query.Range.Start.ToArray();
        RecordKey after = RecordKey.BeforeAll;
        while (true)
        {
            var finder = new Finder(query.Range, revision, IndexBudget, keys);
            state.Index.VisitVersions(start, after, revision, revision, ref finder);
            if (!finder.IsExhausted)
            {
                break;
            }

            (start, after) = (finder.LastKey, finder.Last);
        }

        keys.Sort();
        ReadRecords(state.Records, query, CollectionsMarshal.AsSpan(keys), found);
        return revision;
    }

    /// <summary>False: the range has too many versions for this way.</summary>
    private static bool TryReadByKeys(StateGeneration state, WatchQuery query, long from, long upTo, List<PublishedEvent> found, out long through)
    {
        List<RecordKey> keys = [];
        var finder = new Finder(query.Range, from, IndexBudget, keys);
        through = upTo;
        state.Index.VisitVersions(query.Range.Start.Span, RecordKey.BeforeAll, from - 1, upTo, ref finder);
        if (finder.IsExhausted)
        {
            return false;
        }

        keys.Sort();
        int count = Math.Min(keys.Count, MaxEvents);
        if (count < keys.Count)
        {
            // The revision in which the step ends stays whole.
            through = keys[count - 1].Main;
            while (count < keys.Count && keys[count].Main == through)
            {
                count++;
            }
        }

        through = ReadRecords(state.Records, query, CollectionsMarshal.AsSpan(keys)[..count], found) ?? through;
        return true;
    }

    /// <summary>Goes through all changes of some revisions.</summary>
    private static long ReadByRevisions(StateGeneration state, WatchQuery query, long from, long upTo, List<PublishedEvent> found)
    {
        // The revision of an empty store changed nothing.
        from = Math.Max(from, MachineState.Initial.Revision + 1);
        if (from > upTo)
        {
            return upTo;
        }

        var first = new ReadOnlyMemory<byte>[MaxReads];
        var second = new ReadOnlyMemory<byte>[MaxReads];
        long read = 0, bytes = 0;
        for (int page = FirstReads; from <= upTo && read < MaxBytes; page = Math.Min(page * 2, MaxReads))
        {
            int count = (int)Math.Min(page, upTo - from + 1);
            ReadSub(state.Records, from, 0, first.AsSpan(0, count));
            ReadSub(state.Records, from, 1, second.AsSpan(0, count));
            for (int i = 0; i < count; i++, from++)
            {
                int before = found.Count;
                Take(query, new(from, 0), first[i].IsEmpty ? throw new RecordGoneException(new(from, 0)) : first[i], found);
                read += first[i].Length + second[i].Length;
                bool hasMore = !second[i].IsEmpty;
                if (hasMore)
                {
                    Take(query, new(from, 1), second[i], found);
                    read += ReadRest(state.Records, query, from, found);
                }

                bytes += PublishedRevision.BytesOf(CollectionsMarshal.AsSpan(found)[before..]);
                if (found.Count >= MaxEvents || bytes >= MaxBytes || (hasMore && read >= MaxBytes))
                {
                    return from;
                }
            }
        }

        return from - 1;
    }

    private static void ReadSub(IRecordReads records, long from, int sub, Span<ReadOnlyMemory<byte>> results)
    {
        var keys = new RecordKey[results.Length];
        for (int i = 0; i < keys.Length; i++)
        {
            keys[i] = new(from + i, sub);
        }

        records.ReadMany(keys, results);
    }

    /// <summary>The third and every further change of a revision: they are numbered without a gap, so the first that is missing is behind the last. Returns the bytes read.</summary>
    private static long ReadRest(IRecordReads records, WatchQuery query, long revision, List<PublishedEvent> found)
    {
        var keys = new RecordKey[SubPage];
        var results = new ReadOnlyMemory<byte>[SubPage];
        long read = 0;
        for (int sub = 2, page = 8; ; page = Math.Min(page * 4, SubPage))
        {
            for (int i = 0; i < page; i++)
            {
                keys[i] = new(revision, sub + i);
            }

            records.ReadMany(keys.AsSpan(0, page), results.AsSpan(0, page));
            for (int i = 0; i < page; i++, sub++)
            {
                if (results[i].IsEmpty)
                {
                    RequireEnd(results.AsSpan(i, page - i), new(revision, sub));
                    return read;
                }

                Take(query, new(revision, sub), results[i], found);
                read += results[i].Length;
            }
        }
    }

    /// <summary>One that is missing between others is gone.</summary>
    private static void RequireEnd(ReadOnlySpan<ReadOnlyMemory<byte>> results, RecordKey missing)
    {
        foreach (ReadOnlyMemory<byte> result in results)
        {
            if (!result.IsEmpty)
            {
                throw new RecordGoneException(missing);
            }
        }
    }

    private static void Take(WatchQuery query, RecordKey at, ReadOnlyMemory<byte> record, List<PublishedEvent> found)
    {
        if (query.Range.Contains(RecordCodec.ReadHeader(at, record.Span).Key) && (RecordCodec.IsTombstone(record.Span) ? query.Deletes : query.Puts))
        {
            found.Add(PublishedEvent.Read(at, record));
        }
    }

    /// <summary>Records whose keys are in the range. Returns the revision behind which there was no room for more; null: there was for all.</summary>
    private static long? ReadRecords(IRecordReads records, WatchQuery query, ReadOnlySpan<RecordKey> keys, List<PublishedEvent> found)
    {
        var results = new ReadOnlyMemory<byte>[Math.Min(keys.Length, MaxReads)];
        long bytes = 0, through = -1;
        for (int from = 0, page = FirstReads; from < keys.Length; page = Math.Min(page * 2, MaxReads))
        {
            ReadOnlySpan<RecordKey> part = keys.Slice(from, Math.Min(page, keys.Length - from));
            from += part.Length;
            if (bytes >= MaxBytes && part[0].Main != through)
            {
                return through;
            }

            records.ReadMany(part, results.AsSpan(0, part.Length));
            for (int i = 0; i < part.Length; i++)
            {
                if (bytes >= MaxBytes && part[i].Main != through)
                {
                    return through;
                }

                Take(query, part[i], results[i].IsEmpty ? throw new RecordGoneException(part[i]) : results[i], found);
                bytes += results[i].Length;
                through = part[i].Main;
            }
        }

        return null;
    }

    private static LoomException Corruption(RecordGoneException gone) => new(
        LoomErrorCode.Corruption, $"LOOM1020: {gone.Message} The watch ends. Restart this member: its records are rebuilt from the log.", inner: gone);

    /// <summary>The versions of a range from a revision on.</summary>
    private struct Finder(KeyRange range, long from, int budget, List<RecordKey> found) : IVersionVisitor
    {
        private readonly KeyRange range = range;
        private int left = budget;

        /// <summary>It stopped because of the budget.</summary>
        public bool IsExhausted { get; private set; }

        public byte[] LastKey { get; private set; } = [];

        public RecordKey Last { get; private set; }

        public bool Visit(ReadOnlySpan<byte> key, RecordKey at)
        {
            if (!range.Contains(key))
            {
                // The walk begins at the range's first key: it has left the range.
                return false;
            }

            if (at.Main >= from)
            {
                found.Add(at);
            }

            if (--left > 0)
            {
                return true;
            }

            IsExhausted = true;
            LastKey = key.ToArray();
            Last = at;
            return false;
        }
    }
}
