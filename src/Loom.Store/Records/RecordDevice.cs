using System.Globalization;
using FASTER.core;
using Loom.Raft.Log;
using Microsoft.Win32.SafeHandles;

namespace Loom.Store.Records;

/// <summary>
/// FASTER's log as files <c>hlog.log.0, .1, …</c>, read and written by threads of its own (N3): FASTER's managed device completes on the thread pool,
/// where callers that wait for a completion may have taken every thread.
/// </summary>
/// <remarks>
/// A failed or short write is reported to <see cref="RecordFaults"/> and then, to FASTER, as done: told the truth it would leave Upsert waiting for that page for ever.
/// It is safe because from the report on the store neither serves nor accepts anything.
/// Writes are not flushed one by one: a checkpoint flushes the files before it names them (<see cref="Flush"/>), and what is written long before it goes file by file. FASTER deletes no file: what the checkpoint before needs stays until the next
/// one is durable (H15, <see cref="DeleteBelow"/>).
/// </remarks>
internal sealed class RecordDevice : StorageDeviceBase
{
    private const uint Sector = 512;
    private const int SpaceRetryMilliseconds = 100;

    // Beyond so many files that are not flushed the writer flushes the oldest. Only an installation gets there: a gigabyte that is flushed at its end holds up every log on the same disk.
    private const int MostUnflushed = 3;

    // The event of the reader whose request or completion this thread is carrying, so that a second read of the same record (FASTER guesses the length first) wakes the right one.
    [ThreadStatic]
    private static ManualResetEventSlim? waiter;

    private readonly RecordFaults faults;
    private readonly RecordThreads readers;
    private readonly RecordThreads writer;
    private readonly Lock gate = new();
    private readonly Lock allocating = new();
    private readonly Lock flushing = new();
    private readonly SortedDictionary<int, SafeFileHandle> files = [];
    private readonly SortedSet<int> unflushed = [];
    private readonly long reserveBytes;
    private bool directoryChanged = true;
    private long firstAddress;
    private long allocatedEnd;
    private volatile bool closing;
    private volatile bool stopping;

    public RecordDevice(string path, RecordStoreOptions options, RecordFaults faults)
        : base(path, Sector, -1)
    {
        PageBytes = (int)options.PageBytes;
        SegmentBytes = (int)options.SegmentBytes;
        firstAddress = SegmentsOf(path).Select(segment => segment * (long)SegmentBytes).FirstOrDefault();
        reserveBytes = options.ReserveBytes;
        BeforeAllocate = options.BeforeAllocate;
        this.faults = faults;
        readers = new("loom-records-read", 16, faults);
        writer = new("loom-records-write", 1, faults);
    }

    /// <summary>Woken after each completed read that was issued by this thread.</summary>
    public static ManualResetEventSlim? Waiter
    {
        get => waiter;
        set => waiter = value;
    }

    public int PageBytes { get; }

    public int SegmentBytes { get; }

    /// <summary>Where the first file begins that is still there.</summary>
    public long FirstAddress => Volatile.Read(ref firstAddress);

    /// <summary>
    /// During a recovery: what lies outside of this is read as zeros. Nobody has checked it, it may be of a life that ended, and FASTER takes the whole of a page for records.
    /// </summary>
    public (long Begin, long End) Visible { get; set; } = (0, long.MaxValue);

    /// <summary>For tests: throws or returns in place of the disk.</summary>
    internal Action<long, int>? BeforeWrite { get; set; }

    /// <summary>For tests: throws in place of the disk.</summary>
    internal Action<long>? BeforeAllocate { get; set; }

    /// <summary>For tests: blocks in place of the disk.</summary>
    internal Action? BeforeRead { get; set; }

    /// <summary>For tests: throws or blocks in place of the disk.</summary>
    internal Action? BeforeFlush { get; set; }

    /// <inheritdoc/>
    public override void WriteAsync(IntPtr sourceAddress, int segmentId, ulong destinationAddress, uint numBytesToWrite, DeviceIOCompletionCallback callback, object context) =>
        writer.Post(() =>
        {
            try
            {
                Write(sourceAddress, segmentId, (long)destinationAddress, (int)numBytesToWrite);
                FlushBehind(segmentId);
            }
#pragma warning disable CA1031 // Whatever it was, the page is lost and the replica ends.
            catch (Exception e)
#pragma warning restore CA1031
            {
                faults.Report(new IOException($"write {FileName}.{segmentId} @{destinationAddress} +{numBytesToWrite}: {e.Message}", e));
            }

            callback(0, numBytesToWrite, context);
        });

    /// <inheritdoc/>
    public override void ReadAsync(int segmentId, ulong sourceAddress, IntPtr destinationAddress, uint readLength, DeviceIOCompletionCallback callback, object context)
    {
        ManualResetEventSlim? issuer = waiter;
        if (BeforeRead is null && CachedRead.TryRead(File(segmentId), (long)sourceAddress, destinationAddress, (int)readLength))
        {
            Hide(segmentId, (long)sourceAddress, destinationAddress, (int)readLength);
            callback(0, readLength, context);
            issuer?.Set();
            return;
        }

        readers.Post(() =>
        {
            waiter = issuer;
            uint error = 0, got = 0;
            try
            {
                BeforeRead?.Invoke();
                got = Read(segmentId, (long)sourceAddress, destinationAddress, (int)readLength);
            }
#pragma warning disable CA1031
            catch (Exception e)
#pragma warning restore CA1031
            {
                faults.Report(new IOException($"read {FileName}.{segmentId} @{sourceAddress} +{readLength}: {e.Message}", e));
                error = 5;
            }

            try
            {
                // A damaged record can make FASTER throw in here; the read then never completes, and its reader finds the fault.
                callback(error, got, context);
            }
            finally
            {
                issuer?.Set();
                waiter = null;
            }
        });
    }

    /// <summary>At open: everything below the page of this address is written, and the rest is nobody's yet.</summary>
    public void AllocatedFrom(long address) => allocatedEnd = address - (address % PageBytes);

    /// <summary>
    /// Takes the space of the files up to an address, and some in reserve, so that no write below it finds the disk full. False: it is not there.
    /// Where the file system cannot set space aside, it is taken for granted, and a write that finds none waits.
    /// </summary>
    public bool TryAllocate(long end, out string? obstacle)
    {
        obstacle = null;
        end += PageBytes - 1 - ((end + PageBytes - 1) % PageBytes);
        using Lock.Scope one = allocating.EnterScope();

        // In steps: a call for each batch would cost more than the batch.
        if (allocatedEnd < end + (reserveBytes / 2) && !TryTake(end + reserveBytes, ref obstacle) && allocatedEnd < end)
        {
            TryTake(end, ref obstacle);
        }

        obstacle = allocatedEnd < end ? obstacle : null;
        return obstacle is null;
    }

    private bool TryTake(long end, ref string? obstacle)
    {
        try
        {
            BeforeAllocate?.Invoke(end);
            while (allocatedEnd < end)
            {
                int segment = (int)(allocatedEnd / SegmentBytes);
                long at = allocatedEnd % SegmentBytes;
                long length = Math.Min(SegmentBytes - at, end - allocatedEnd);
                Posix.TryAllocate($"{FileName}.{segment}", File(segment), at, length, keepsLength: true);
                allocatedEnd += length;
            }

            return true;
        }
        catch (IOException e) when (e is NoSpaceException || Posix.IsOutOfSpace(e.HResult))
        {
            obstacle = e.Message;
            return false;
        }
    }

    private unsafe void Write(IntPtr source, int segment, long at, int length)
    {
        while (true)
        {
            try
            {
                SafeFileHandle file = File(segment);
                BeforeWrite?.Invoke(((long)segment * segmentSize) + at, length);
                RandomAccess.Write(file, new ReadOnlySpan<byte>((void*)source, length), at);

                // Only now: a flush that began before would take the file for flushed, and this page would never be.
                lock (gate)
                {
                    unflushed.Add(segment);
                }

                return;
            }
            catch (IOException e) when (Posix.IsOutOfSpace(e.HResult) && !stopping)
            {
                // Nothing is lost: the page is in memory until it is written. It comes to this only for what was not reserved (a delete of millions, a file system that cannot).
                Thread.Sleep(SpaceRetryMilliseconds);
            }
        }
    }

    /// <summary>Deletes nothing: the checkpoint before may need the file (H15).</summary>
    public override void RemoveSegment(int segment)
    {
    }

    /// <inheritdoc/>
    public override void RemoveSegmentAsync(int segment, AsyncCallback callback, IAsyncResult result)
    {
        RemoveSegment(segment);
        callback(result);
    }

    /// <inheritdoc/>
    public override long GetFileSize(int segment) => segmentSize;

    /// <summary>Makes everything durable that was written so far, and the files' names. Not for the device's own threads.</summary>
    /// <exception cref="IOException">The first failure ends the store (L1).</exception>
    public void Flush()
    {
        KeyValuePair<int, SafeFileHandle>[] written;
        bool names;
        lock (gate)
        {
            written = [.. files.Where(file => unflushed.Contains(file.Key))];
            unflushed.Clear();
            names = directoryChanged;
            directoryChanged = false;
        }

        using (flushing.EnterScope())
        {
            foreach ((int segment, SafeFileHandle file) in written)
            {
                BeforeFlush?.Invoke();
                Posix.FlushData($"{FileName}.{segment}", file);
            }
        }

        if (names)
        {
            Posix.FlushDirectory(Path.GetDirectoryName(FileName)!);
        }
    }

    // On the writer's thread: nobody writes to the file meanwhile. It may be deleted meanwhile. The kernel tells an error of a file once: a checkpoint that flushes the same file at that time must
    // find it reported. What is being closed is not worth a flush.
    private void FlushBehind(int current)
    {
        int oldest;
        SafeFileHandle file;
        bool held = false;
        lock (gate)
        {
            oldest = unflushed.Min;
            if (closing || unflushed.Count <= MostUnflushed || oldest >= current)
            {
                return;
            }

            file = files[oldest];
            file.DangerousAddRef(ref held);
        }

        using Lock.Scope one = flushing.EnterScope();
        try
        {
            BeforeFlush?.Invoke();
            Posix.FlushData($"{FileName}.{oldest}", file);
        }
        catch (IOException e)
        {
            faults.Report(e);
            return;
        }
        finally
        {
            file.DangerousRelease();
        }

        lock (gate)
        {
            unflushed.Remove(oldest);
        }
    }

    /// <summary>Deletes the files that hold nothing at or above an address.</summary>
    public void DeleteBelow(long address)
    {
        foreach (int segment in SegmentsOf(FileName).Where(segment => (segment + 1L) * SegmentBytes <= address))
        {
            lock (gate)
            {
                unflushed.Remove(segment);
                if (files.Remove(segment, out SafeFileHandle? file))
                {
                    file.Dispose();
                }
            }

            System.IO.File.Delete($"{FileName}.{segment}");
        }

        Volatile.Write(ref firstAddress, Math.Max(FirstAddress, address / SegmentBytes * SegmentBytes));
    }

    /// <summary>Reads what was written, on the caller's thread. Not across files.</summary>
    public void ReadAt(long address, Span<byte> target)
    {
        SafeFileHandle file = File((int)(address / SegmentBytes));
        for (int got = 0; got < target.Length;)
        {
            int read = RandomAccess.Read(file, target[got..], (address % SegmentBytes) + got);
            got += read > 0 ? read : throw new IOException($"{FileName}.{address / SegmentBytes} ends at {(address % SegmentBytes) + got}, before what was written there");
        }
    }

    /// <summary>Numbers of the files <c>PATH.0, PATH.1, …</c> that are there, ascending.</summary>
    internal static List<int> SegmentsOf(string path) =>
    [
        .. Directory.EnumerateFiles(Path.GetDirectoryName(path)!, Path.GetFileName(path) + ".*")
            .Select(file => int.TryParse(file.AsSpan(path.Length + 1), NumberStyles.None, CultureInfo.InvariantCulture, out int segment) ? segment : -1)
            .Where(segment => segment >= 0)
            .Order(),
    ];

    /// <inheritdoc/>
    public override void Dispose() => Stop(Environment.TickCount64);

    /// <summary>Finishes the writes that were asked for, and takes no more. False: one hangs in the disk.</summary>
    public bool StopWriting(long untilTicks)
    {
        closing = true;
        return writer.Stop(untilTicks);
    }

    /// <summary>Finishes what was asked for and closes the files. False: a thread hangs in the disk, and everything stays open that it may use.</summary>
    public bool Stop(long untilTicks)
    {
        closing = stopping = true;
        if (!writer.Stop(untilTicks) | !readers.Stop(untilTicks))
        {
            return false;
        }

        lock (gate)
        {
            foreach (SafeFileHandle file in files.Values)
            {
                file.Dispose();
            }

            files.Clear();
        }

        return true;
    }

    // Short reads at the end of the file are normal: FASTER reads to the next sector.
    private unsafe uint Read(int segment, long at, IntPtr target, int length)
    {
        SafeFileHandle file = File(segment);
        int got = 0;
        while (got < length)
        {
            int read = RandomAccess.Read(file, new Span<byte>((byte*)target + got, length - got), at + got);
            if (read == 0)
            {
                break;
            }

            got += read;
        }

        Hide(segment, at, target, got);
        return (uint)got;
    }

    private unsafe void Hide(int segment, long at, IntPtr target, int length)
    {
        Span<byte> bytes = new((void*)target, length);
        long address = ((long)segment * SegmentBytes) + at;
        bytes[..(int)Math.Clamp(Visible.Begin - address, 0, bytes.Length)].Clear();
        bytes[(int)Math.Clamp(Visible.End - address, 0, bytes.Length)..].Clear();
    }

    private SafeFileHandle File(int segment)
    {
        lock (gate)
        {
            if (!files.TryGetValue(segment, out SafeFileHandle? file))
            {
                file = System.IO.File.OpenHandle($"{FileName}.{segment}", FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.ReadWrite | FileShare.Delete);
                files.Add(segment, file);
                directoryChanged = true;
            }

            return file;
        }
    }
}
