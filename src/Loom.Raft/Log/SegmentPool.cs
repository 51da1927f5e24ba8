using System.Globalization;

namespace Loom.Raft.Log;

/// <summary>
/// Files that wait to become segments: zero-filled ahead, or recycled from the log's old end. Between the loop (which frees), the log writer (which takes) and whoever calls
/// <see cref="PrepareAhead"/>; the lock covers the lists, never an I/O operation.
/// A spare's content does not matter: a segment's header and chain make old records unreadable (L2).
/// </summary>
internal sealed class SegmentPool(IFileSystem files, string directory, DurableLogOptions options) : IDisposable
{
    public static readonly byte[] Zeros = new byte[256 * 1024];
    private const string Prefix = "spare-";

    private readonly Lock gate = new();
    private readonly Queue<string> ready = [];
    private readonly Queue<long> freed = [];
    private IFile? filling;
    private string fillingName = "";
    private long filledTo;
    private long nextSpare;
    private bool wanted;
    private Exception? failure;

    /// <summary>At open: keeps whole spares, deletes the rest.</summary>
    public void Adopt(IReadOnlyList<string> names)
    {
        foreach (string name in names.Where(n => n.StartsWith(Prefix, StringComparison.Ordinal)))
        {
            bool named = long.TryParse(name.AsSpan(Prefix.Length), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out long number);
            if (named && ready.Count < options.SpareSegments && LengthOf($"{directory}/{name}") == options.SegmentBytes)
            {
                nextSpare = number + 1; // Names come sorted.
                ready.Enqueue(name);
            }
            else
            {
                files.Delete($"{directory}/{name}");
            }
        }
    }

    /// <summary>Log-writer thread: a whole file to rename, or null.</summary>
    public string? Take()
    {
        lock (gate)
            return ready.TryDequeue(out string? name) ? name : null;
    }

    /// <summary>Log-writer thread: the current segment is half full.</summary>
    public void WantSpare()
    {
        lock (gate)
            wanted = ready.Count == 0;
    }

    /// <summary>Loop thread: this segment holds nothing that is needed. In ascending order (L6).</summary>
    public void Free(long sequence)
    {
        lock (gate)
            freed.Enqueue(sequence);
    }

    /// <summary>One step of work, on any one thread at a time. False: nothing to do. An I/O error fails the log at its next write (L1).</summary>
    public bool PrepareAhead()
    {
        try
        {
            long? sequence = null;
            bool fill;
            lock (gate)
            {
                if (failure is not null)
                    return false;
                if (freed.TryPeek(out long oldest))
                    sequence = oldest;
                fill = filling is not null || (wanted && ready.Count == 0);
            }

            if (sequence is { } free)
                Recycle(free);
            else if (fill)
                FillStep();
            else
                return false;
            return true;
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

    private void FillStep()
    {
        if (filling is null)
        {
            fillingName = NextName();
            filling = files.Open($"{directory}/{fillingName}", create: true);
            filledTo = 0;
        }

        long to = Math.Min(options.SegmentBytes, filledTo + Math.Max(options.ZeroFillBytes, SegmentHeader.BlockBytes));
        for (; filledTo < to; filledTo += Zeros.Length)
            filling.Write(filledTo, Zeros.AsSpan(0, (int)Math.Min(Zeros.Length, to - filledTo)));
        filledTo = to;
        filling.Flush();
        if (filledTo < options.SegmentBytes)
            return;
        filling.Dispose();
        filling = null;
        files.FlushDirectory(directory);
        Ready(fillingName);
    }

    private void Ready(string name)
    {
        lock (gate)
        {
            wanted = false;
            ready.Enqueue(name);
        }
    }

    private string NextName() => $"{Prefix}{nextSpare++:x16}";

    private long LengthOf(string path)
    {
        using IFile file = files.Open(path, create: false);
        return file.Length;
    }
}
