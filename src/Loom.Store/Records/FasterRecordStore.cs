using System.Buffers.Binary;
using FASTER.core;
using Loom.Raft.Log;
using Loom.Store.Mvcc;

namespace Loom.Store.Records;

/// <summary>
/// Records in FASTER, used only as an append-only log with a hash index: each record is written once under its revision, never updated, never deleted by FASTER,
/// and order lives in <see cref="KeyIndex"/>. Used otherwise FASTER loses data in silence (docs/decisions).
/// </summary>
/// <remarks>
/// The bytes of a record are in <see cref="RecordLogScan"/>. What survives the process is the newest checkpoint (<see cref="RecordCheckpoints"/>): the rest is replayed from the replicated log.
/// </remarks>
internal sealed class FasterRecordStore : IRecordStore
{
    /// <summary>Largest record. A request is at most 1.75 MiB (LoomOptions.MaxRequestBytesLimit), and a record must fit into FASTER's page.</summary>
    public const int MaxRecordBytes = 2 << 20;

    /// <summary>The record files are <c>hlog.log.0, .1, …</c></summary>
    public const string FileName = "hlog.log";

    // Closing is bounded as a whole (N5); a healthy store needs some milliseconds.
    private const int CloseMilliseconds = 500;

    private readonly RecordFaults faults;
    private readonly RecordDevice device;
    private readonly FasterKV<StoredKey, SpanByte> store;
    private readonly RecordFunctions writerFunctions = new();
    private readonly ClientSession<StoredKey, SpanByte, long, FoundRecord, int, RecordFunctions> writer;
    private readonly RecordReaderPool readers;
    private readonly RecordReader writerReader;
    private readonly RecordCheckpoints? checkpoints;
    private readonly RecordReclaim? reclaim;
    private byte[] buffer = new byte[4096];
    private long lastIndex;
    private volatile bool closed;
    private volatile bool writing;

    private FasterRecordStore(string directory, RecordStoreOptions options, Action<Exception>? onFault, CheckpointTarget? target, CheckpointFile? from)
    {
        faults = new(onFault);
        device = new(Path.Combine(directory, FileName), options, faults);
        FasterCommits commits = new();
        store = new(new FasterKVSettings<StoredKey, SpanByte>
        {
            LogDevice = device,
            CheckpointManager = commits,
            IndexSize = options.IndexBytes,
            MemorySize = options.MemoryBytes,
            PageSize = options.PageBytes,
            SegmentSize = options.SegmentBytes,
            MutableFraction = 0.1,
            ConcurrencyControlMode = ConcurrencyControlMode.None,
            RemoveOutdatedCheckpoints = false,
            TryRecoverLatest = false,
        });
        try
        {
            if (from is not null)
            {
                Recover(commits, from);
            }
        }
        catch
        {
            store.Dispose();
            device.Dispose();
            throw;
        }

        device.AllocatedFrom(store.Log.TailAddress);
        writer = store.For(writerFunctions).NewSession<RecordFunctions>();
        readers = new(store, faults);
        writerReader = new(store, faults);
        if (target is not null)
        {
            checkpoints = new(store, device, commits, faults, target, options.FenceMilliseconds) { DurableEnd = from is null ? 0 : store.Log.TailAddress };
            reclaim = new(store, device, checkpoints, faults, (key, record) => Append(key, record, lastIndex), (bytes, largest) => TryReserve(bytes, largest, out _));
        }

        WriterReads = new ApplierReads(this);
    }

    /// <inheritdoc/>
    public IRecordReads WriterReads { get; }

    /// <inheritdoc/>
    /// <remarks>Files that the checkpoint before still needs count until they are deleted.</remarks>
    public long SizeBytes => store.Log.TailAddress - device.FirstAddress;

    /// <inheritdoc/>
    public bool WantsCheckpoint => reclaim is { WantsCheckpoint: true };

    /// <inheritdoc/>
    /// <remarks>FASTER's header, the key, the length, the checksum, and what rounding up to eight adds on average.</remarks>
    public int RecordOverheadBytes => 8 + 16 + 4 + RecordFunctions.ChecksumBytes + 4;

    internal RecordDevice Device => device;

    /// <summary>Gives space back; null without checkpoints.</summary>
    internal RecordReclaim? Reclaimer => reclaim;

    /// <summary>Where the log begins.</summary>
    internal long BeginAddress => store.Log.BeginAddress;

    /// <summary>Empties the directory and opens a store in it. <paramref name="onFault"/> is called once, from any thread, when the store fails for good. Without a target it takes no checkpoints.</summary>
    public static FasterRecordStore Open(string directory, RecordStoreOptions? options = null, Action<Exception>? onFault = null, CheckpointTarget? target = null)
    {
        options ??= new();
        if (options.PageBytes < 2 * MaxRecordBytes)
        {
            throw new LoomException(LoomErrorCode.CannotOpen, $"A page of {options.PageBytes} bytes cannot hold a record of {MaxRecordBytes}. Set the page size to {2 * MaxRecordBytes} or more.");
        }

        Posix.CreatePrivateDirectory(directory);
        KeptSpace.Empty(Path.Combine(directory, FileName), options.SegmentBytes);
        return new(directory, options, onFault, target, null);
    }

    /// <summary>Opens the store as it was at a checkpoint; every record of it is verified, and shown to the rebuild, before FASTER sees any.</summary>
    /// <exception cref="CheckpointDamagedException">The record files are not what the checkpoint was taken of.</exception>
    public static FasterRecordStore Recover(
        string directory, RecordStoreOptions options, Action<Exception>? onFault, CheckpointTarget target, CheckpointFile from, string fromPath, IRecordRebuild rebuild)
    {
        RecordStoreOptions same = new() { IndexBytes = options.IndexBytes, MemoryBytes = options.MemoryBytes, PageBytes = from.PageBytes, SegmentBytes = from.SegmentBytes, FenceMilliseconds = options.FenceMilliseconds, BeforeAllocate = options.BeforeAllocate };
        string path = Path.Combine(directory, FileName);
        new RecordLogScan(path, from.PageBytes, from.SegmentBytes, LogExtent.Of(fromPath, from.Log)).Run(rebuild);
        rebuild.Finish();
        return new(directory, same, onFault, target, from);
    }

    private void Recover(FasterCommits commits, CheckpointFile from)
    {
        LogExtent extent = LogExtent.Of(device.FileName, from.Log);
        if (extent.End == extent.Begin && extent.End == store.Log.TailAddress)
        {
            return;
        }

        device.Visible = (extent.Begin, extent.End);
        try
        {
            store.Recover(Guid.Empty, commits.Offer(from.Log));
        }
        catch (FasterException) when (faults.Any)
        {
            // What the device met says more than what FASTER made of it: whether it is damage is judged by that.
            faults.ThrowIfAny();
        }

        device.Visible = (0, long.MaxValue);
        faults.ThrowIfAny();
        if (store.Log.TailAddress != extent.End || store.Log.BeginAddress != extent.Begin)
        {
            throw new CheckpointDamagedException(device.FileName, 0, $"FASTER recovers [{store.Log.BeginAddress}, {store.Log.TailAddress}) of {extent}");
        }
    }

    /// <inheritdoc/>
    /// <remarks>Pages are written whole, and the end of one that the next record did not fit into is lost.</remarks>
    public bool TryReserve(long bytes, long largest, out string? obstacle)
    {
        faults.ThrowIfAny();
        largest = Math.Min(largest, MaxRecordBytes + RecordOverheadBytes);
        long pages = 1 + (bytes / (device.PageBytes - largest));
        return device.TryAllocate(store.Log.TailAddress + bytes + (pages * largest), out obstacle);
    }

    /// <inheritdoc/>
    public unsafe void Append(RecordKey key, ReadOnlySpan<byte> record, long appliedIndex)
    {
        faults.ThrowIfAny();
        ArgumentOutOfRangeException.ThrowIfGreaterThan(record.Length, MaxRecordBytes, nameof(record));
        int length = RecordFunctions.ChecksumBytes + record.Length;
        if (buffer.Length < length)
        {
            buffer = new byte[Math.Min(Math.Max(length, 2 * buffer.Length), MaxRecordBytes + RecordFunctions.ChecksumBytes)];
        }

        BinaryPrimitives.WriteUInt32LittleEndian(buffer, RecordChecksum.Of(key, record));
        record.CopyTo(buffer.AsSpan(RecordFunctions.ChecksumBytes));
        StoredKey stored = new(key);
        fixed (byte* start = buffer)
        {
            SpanByte value = SpanByte.FromFixedSpan(new Span<byte>(start, length));
            writer.Upsert(ref stored, ref value, 0, appliedIndex);
            lastIndex = appliedIndex;
        }

        if (writerFunctions.Conflict)
        {
            throw new InvalidOperationException($"record {key.Main}.{key.Sub} was written before with other bytes");
        }

        // Upsert may have given a page away whose write failed.
        faults.ThrowIfAny();
    }

    /// <inheritdoc/>
    public bool TryRead(RecordKey key, out ReadOnlyMemory<byte> record) => TryRead(null, key, out record);

    /// <inheritdoc/>
    public void ReadMany(ReadOnlySpan<RecordKey> keys, Span<ReadOnlyMemory<byte>> results) => ReadMany(null, keys, results);

    /// <inheritdoc/>
    public bool BeginCheckpoint(StoredState state, Action<Exception?> completed)
    {
        faults.ThrowIfAny();
        return checkpoints is not null && checkpoints.Begin(writer, state, completed);
    }

    /// <summary>For tests: does something as a reader that is inside of FASTER meanwhile.</summary>
    internal void ActInside(Action act)
    {
        RecordReader reader = readers.Rent();
        reader.ActInside(act);
        readers.Return(reader);
    }

    /// <summary>Waits until no checkpoint is under way. False: it takes longer.</summary>
    public bool AwaitCheckpoint(long untilTicks) => checkpoints is null || checkpoints.Await(untilTicks);

    /// <inheritdoc/>
    public void Reclaim(IRecordOwner owner) => reclaim?.Consider(owner);

    /// <inheritdoc/>
    public void Remove(RecordKey key)
    {
        // The index is the only authority on what is live; FASTER's own deletes are not used. The bytes go when their page is given back (RecordReclaim).
    }

    /// <summary>
    /// Waits a moment for who reads; from now on a read throws Stopped. If one of them, or the disk, does not end, everything stays as it is until the process ends:
    /// memory that FASTER still uses must not be freed, and its calls do not come back from a store that is gone.
    /// </summary>
    public void Dispose() => Close();

    /// <inheritdoc cref="Dispose"/>
    /// <returns>False: a thread hangs in the disk and may still write there.</returns>
    public bool Close()
    {
        if (closed)
        {
            return !writing;
        }

        faults.Close();
        closed = true;
        long until = Environment.TickCount64 + CloseMilliseconds;
        bool read = readers.Close(until);

        // What writes ends in any case: a page that is being written belongs to the store, and the directory to the next who opens it.
        writing = !(reclaim?.Close(until) ?? true) | !(checkpoints?.Close(until) ?? true) | !device.StopWriting(until);
        if (writing || !read || !device.Stop(until))
        {
            return !writing;
        }

        if (store.SystemState.Phase != Phase.REST)
        {
            // A checkpoint that did not end: the next step of a session, its end too, would go on with it, on a device that is gone.
            return true;
        }

        if (!faults.Any)
        {
            writerReader.Dispose();
        }

        writer.Dispose();
        store.Dispose();
        return true;
    }

    /// <summary>Null: a reader of the pool, for whoever is not the applier.</summary>
    private bool TryRead(RecordReader? own, RecordKey key, out ReadOnlyMemory<byte> record)
    {
        FoundRecord found = default;
        ReadMany(own, new ReadOnlySpan<RecordKey>(in key), new Span<FoundRecord>(ref found));
        record = found.Bytes;
        return found.Found;
    }

    private void ReadMany(RecordReader? own, ReadOnlySpan<RecordKey> keys, Span<ReadOnlyMemory<byte>> results)
    {
        Span<FoundRecord> found = new FoundRecord[Math.Min(keys.Length, RecordReader.Width)];
        for (int at = 0; at < keys.Length; at += RecordReader.Width)
        {
            ReadOnlySpan<RecordKey> some = keys.Slice(at, Math.Min(RecordReader.Width, keys.Length - at));
            ReadMany(own, some, found);
            for (int i = 0; i < some.Length; i++)
            {
                results[at + i] = found[i].Found ? found[i].Bytes : default(ReadOnlyMemory<byte>);
            }
        }
    }

    private void ReadMany(RecordReader? own, ReadOnlySpan<RecordKey> keys, Span<FoundRecord> results)
    {
        faults.ThrowIfAny();
        RecordReader reader = own ?? readers.Rent();
        try
        {
            reader.Read(keys).CopyTo(results);
            for (int i = 0; i < keys.Length; i++)
            {
                if (!results[i].Found)
                {
                    // FASTER may miss a record whose page is just being given away or compacted; a second look finds it.
                    results[i] = reader.Read(keys.Slice(i, 1))[0];
                }
            }

            reader.Clear(keys.Length);
        }
        finally
        {
            if (own is null)
            {
                readers.Return(reader);
            }
        }

        faults.ThrowIfAny();
        for (int i = 0; i < keys.Length; i++)
        {
            if (results[i].Found)
            {
                Verify(keys[i], results[i]);
            }
        }
    }

    private void Verify(RecordKey key, in FoundRecord found)
    {
        if (RecordChecksum.Of(key, found.Bytes) != found.Checksum)
        {
            throw new LoomException(
                LoomErrorCode.Corruption,
                $"Record {key.Main}.{key.Sub} in {device.FileName} is damaged: its checksum does not match. Restart this member: it rebuilds its records from the replicated log.");
        }
    }

    /// <summary>With a session of its own: the readers' places may all be taken, by reads of a slow disk too, and every write of this replica would wait for them.</summary>
    private sealed class ApplierReads(FasterRecordStore store) : IRecordReads
    {
        public bool TryRead(RecordKey key, out ReadOnlyMemory<byte> record) => store.TryRead(store.writerReader, key, out record);

        public void ReadMany(ReadOnlySpan<RecordKey> keys, Span<ReadOnlyMemory<byte>> results) => store.ReadMany(store.writerReader, keys, results);
    }
}
