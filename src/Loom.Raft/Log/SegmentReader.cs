using Loom.Raft.Consensus;

namespace Loom.Raft.Log;

/// <summary>
/// Reads flushed entries back from the segments, for the loop: a follower that is far behind, and the replay after a start. The chain is followed again, so that bit rot
/// that came after the open is met as damage and never as an entry. Blocks the loop for one bounded read; the pages are usually cached.
/// </summary>
internal sealed class SegmentReader(IFileSystem files, string directory, SegmentIndex index) : IDisposable
{
    private const int OpenFiles = 4;

    // Newest use last.
    private readonly List<(long Sequence, IFile File)> open = [];
    private readonly byte[] window = new byte[128 * 1024];

    /// <summary>Adds the entries from <paramref name="from"/> to <paramref name="to"/> until <paramref name="maxBytes"/> of bodies are exceeded, but at least one.</summary>
    public void Read(long from, long to, ref long maxBytes, List<Entry> into)
    {
        while (from <= to)
        {
            (EntryPlace place, long reachesTo) = index.Find(from);
            var scan = new SegmentScan(FileOf(place.Sequence), place.Offset, place.ChecksumBefore, long.MaxValue, window);
            long end = Math.Min(to, reachesTo);
            while (from <= end)
            {
                if (!scan.Next(out ScannedRecord record))
                    throw Damage(place.Sequence, scan.End, from);
                if (record.Kind != RecordKind.Entry)
                    continue;
                long at = RecordCodec.ReadEntry(record.Payload, withBody: false).Index;
                if (at < from)
                    continue;
                if (at > from)
                    throw Damage(place.Sequence, record.Offset, from);
                maxBytes -= record.Payload.Length - RecordCodec.EntryHeaderBytes;
                if (maxBytes < 0 && into.Count > 0)
                    return;
                into.Add(RecordCodec.ReadEntry(record.Payload));
                from++;
            }
        }
    }

    /// <summary>The segment is about to be recycled.</summary>
    public void Close(long sequence)
    {
        int at = open.FindIndex(o => o.Sequence == sequence);
        if (at < 0)
            return;
        open[at].File.Dispose();
        open.RemoveAt(at);
    }

    public void Dispose()
    {
        foreach ((_, IFile file) in open)
            file.Dispose();
        open.Clear();
    }

    private IFile FileOf(long sequence)
    {
        int at = open.FindIndex(o => o.Sequence == sequence);
        (long, IFile File) found;
        if (at >= 0)
        {
            found = open[at];
            open.RemoveAt(at);
        }
        else
        {
            if (open.Count == OpenFiles)
                Close(open[0].Sequence);
            found = (sequence, files.Open(PathOf(sequence), create: false));
        }

        open.Add(found);
        return found.File;
    }

    private CorruptionException Damage(long sequence, long offset, long entry) => new(PathOf(sequence), offset,
        $"entry {entry}, which was intact when it was written, is not there any more",
        LogRecovery.StartOver);

    private string PathOf(long sequence) => $"{directory}/{SegmentHeader.FileName(sequence)}";
}
