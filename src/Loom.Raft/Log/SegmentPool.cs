using System.Globalization;

namespace Loom.Raft.Log;

/// <summary>A file that waits to become a segment. Its space is taken; when it is filled, writing it is overwriting, which flushes faster.</summary>
internal readonly record struct SpareSegment(string Name, bool IsFilled);

/// <summary>
/// Files that wait to become segments: taken from the disk or recycled from the log's old end, and filled with zeros before they are needed. Between the loop (which frees), the log writer
/// (which takes) and whoever calls <see cref="PrepareAhead"/>; the lock covers the lists, never an I/O operation.
/// They are the log's reserve, too (S6): on a full disk it goes on until they are used up, and then pauses; whatever is written goes into space that was taken before.
/// A spare's content does not matter: a segment's header and chain make old records unreadable (L2).
/// </summary>
internal sealed class SegmentPool(IFileSystem files, string directory, DurableLogOptions options) : IDisposable
{
    public static readonly byte[] Zeros = new byte[256 * 1024];
    private const string Prefix = "spare-";

    private readonly Lock gate = new();
    private readonly List<SpareSegment> ready = [];
    private readonly Queue<long> freed = [];
    private IFile? filling;
    private string fillingName = "";
    private long filledTo;
    private long nextSpare;
    private bool wanted;
    private volatile bool shortOfSpace;
    private Exception? failure;

    /// <summary>The last <see cref="PrepareAhead"/> found no space for a spare.</summary>
    public bool IsShortOfSpace => shortOfSpace;

    /// <summary>At open: keeps whole spares, deletes the rest. What is in them is not known: a power cut may have come between taking and filling.</summary>
    public void Adopt(IReadOnlyList<string> names)
    {
        foreach (string name in names.Where(n => n.StartsWith(Prefix, StringComparison.Ordinal)))
        {
            bool named = long.TryParse(name.AsSpan(Prefix.Length), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out long number);
            if (named && ready.Count < options.SpareSegments && LengthOf($"{directory}/{name}") == options.SegmentBytes)
            {
                nextSpare = number + 1; // Names come sorted.
                ready.Add(new SpareSegment(name, IsFilled: false));
            }
            else
            {
                files.Delete($"{directory}/{name}");
            }
        }
    }

    /// <summary>Log-writer thread: a file of this size to rename; where none waits, a new one.</summary>
    /// <exception cref="NoSpaceException">Neither a spare nor space for a file is there.</exception>
    public SpareSegment Take(long bytes)
    {
        if (bytes == options.SegmentBytes)
        {
            lock (gate)
            {
                if (ready.Count > 0)
                {
                    int at = Math.Max(0, ready.FindIndex(spare => spare.IsFilled));
                    SpareSegment taken = ready[at];
                    ready.RemoveAt(at);
                    return taken;
                }
            }
        }

        return Create(bytes);
    }

    /// <summary>Log-writer thread: it could not be used now.</summary>
    public void Return(SpareSegment spare)
    {
        lock (gate)
            ready.Add(spare);
    }

    /// <summary>Log-writer thread: the current segment is half full.</summary>
    public void WantSpare()
    {
        lock (gate)
            wanted = !ready.Exists(spare => spare.IsFilled);
    }

    /// <summary>Loop thread: this segment holds nothing that is needed. In ascending order (L6).</summary>
    public void Free(long sequence)
    {
        lock (gate)
            freed.Enqueue(sequence);
    }

    /// <summary>
    /// One step of work, on any one thread at a time: recycles what was freed, keeps as many spares as there should be, fills one that will be needed soon.
    /// False: nothing to do, or no space to do it. Another I/O error fails the log at its next write (L1).
    /// </summary>
    public bool PrepareAhead()
    {
        shortOfSpace = false;
        try
        {
            long? sequence = null;
            bool missing;
            lock (gate)
            {
                if (failure is not null)
                    return false;
                if (freed.TryPeek(out long oldest))
                    sequence = oldest;
                missing = ready.Count + (filling is null ? 0 : 1) < options.SpareSegments;
            }

            if (sequence is { } free)
                Recycle(free);
            else if (missing)
                Return(Create(options.SegmentBytes));
            else
                return FillStep();
            return true;
        }
        catch (NoSpaceException)
        {
            shortOfSpace = true;
            return false;
        }
        catch (IOException e)
        {
            lock (gate)
                failure = e;
            return false;
        }
    }

    public void ThrowIfFailed()
    {
        lock (gate)
        {
            if (failure is not null)
                throw new IOException($"A spare segment could not be prepared: {failure.Message}", failure);
        }
    }

    public void Dispose() => filling?.Dispose();

    private SpareSegment Create(long bytes)
    {
        string name = NextName(), path = $"{directory}/{name}";
        try
        {
            using IFile file = files.Open(path, create: true);
            file.Allocate(bytes);
        }
        catch (NoSpaceException)
        {
            if (files.FileExists(path))
                files.Delete(path);
            throw;
        }

        return new SpareSegment(name, IsFilled: false);
    }

    /// <summary>Each renaming is flushed before the next: a crash that kept a later one alone would leave a hole in the sequence of segments.</summary>
    private void Recycle(long sequence)
    {
        string path = $"{directory}/{SegmentHeader.FileName(sequence)}";
        bool keep;
        lock (gate)
            keep = ready.Count < options.SpareSegments;
        if (keep && LengthOf(path) == options.SegmentBytes)
        {
            string name = NextName();
            files.Rename(path, $"{directory}/{name}");
            files.FlushDirectory(directory);
            Ready(name);
        }
        else
        {
            files.Delete(path);
            files.FlushDirectory(directory);
        }

        lock (gate)
            freed.Dequeue();
    }

    /// <summary>Fills a spare with zeros, one step at a time. False: none is wanted.</summary>
    private bool FillStep()
    {
        if (filling is null)
        {
            lock (gate)
            {
                if (!wanted || ready.Count == 0)
                    return false;
                fillingName = ready[0].Name;
                ready.RemoveAt(0);
            }

            filling = files.Open($"{directory}/{fillingName}", create: false);
            filledTo = 0;
        }

        long to = Math.Min(options.SegmentBytes, filledTo + Math.Max(options.ZeroFillBytes, SegmentHeader.BlockBytes));
        for (; filledTo < to; filledTo += Zeros.Length)
            filling.Write(filledTo, Zeros.AsSpan(0, (int)Math.Min(Zeros.Length, to - filledTo)));
        filledTo = to;
        filling.Flush();
        if (filledTo == options.SegmentBytes)
        {
            filling.Dispose();
            filling = null;
            files.FlushDirectory(directory);
            Ready(fillingName);
        }

        return true;
    }

    private void Ready(string name)
    {
        lock (gate)
        {
            wanted = false;
            ready.Add(new SpareSegment(name, IsFilled: true));
        }
    }

    private string NextName()
    {
        lock (gate)
            return $"{Prefix}{nextSpare++:x16}";
    }

    private long LengthOf(string path)
    {
        using IFile file = files.Open(path, create: false);
        return file.Length;
    }
}
