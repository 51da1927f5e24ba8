using System.Diagnostics;
using FASTER.core;
using Loom.Store.Mvcc;

namespace Loom.Store.Records;

/// <summary>
/// Gives space back: goes through the oldest page of the log, lets the applier append again what is still needed of it, and moves the begin of the log behind it.
/// The files below go with the second checkpoint after that (H15).
/// </summary>
/// <remarks>
/// What is safe, and why:
/// <list type="bullet">
/// <item>Only pages below the newest checkpoint are touched. All of them is on the disk, so that whatever FASTER notes in memory about a record that was appended again never reaches it.</item>
/// <item>The begin moves between two batches and while no checkpoint is under way: a checkpoint that takes the new begin has everything that was appended before it.</item>
/// <item>A tombstone is given up only when nothing older of any key is left that it could have deleted. Else this: put 5 is copied behind the tombstone 9; both are compacted; the tombstone
/// goes, the put is still there when the member restarts, and the key has come back. So they stay until a pass over the whole log, begun after they were compacted, has ended.</item>
/// <item>FASTER's own compaction is not used: it would append beside the applier, and it zeroes a record that lies across the end of a step (H1).</item>
/// </list>
/// </remarks>
internal sealed class RecordReclaim
{
    /// <summary>Garbage that is worth a pass, of all bytes.</summary>
    private const double Worth = 0.30;

    /// <summary>Garbage that a pass leaves alone.</summary>
    private const double Enough = 0.15;

    // One turn in the applier's place: some tens of microseconds.
    private const int TurnRecords = 64;
    private const int TurnBytes = 128 << 10;

    // Appending again competes with the writes for the disk. Where garbage gains the upper hand it may take more.
    private const int CalmBytesPerSecond = 48 << 20;
    private const int BusyBytesPerSecond = 192 << 20;
    private const double Much = 0.55;
    private const double MaxPauseSeconds = 0.1;
    private const int SpaceRetryMilliseconds = 100;

    private readonly FasterKV<StoredKey, SpanByte> store;
    private readonly RecordDevice device;
    private readonly RecordCheckpoints checkpoints;
    private readonly RecordAppender append;
    private readonly Func<long, long, bool> reserve;
    private readonly RecordThreads thread;
    private readonly List<Moving> moving = [];
    private IRecordOwner? owner;
    private byte[] page = [];
    private long passEnd;
    private long passTrimmed = -1;
    private long tombstonesBelow = -1;
    private bool keptTombstones;
    private int working;
    private volatile bool closed;

    public RecordReclaim(FasterKV<StoredKey, SpanByte> store, RecordDevice device, RecordCheckpoints checkpoints, RecordFaults faults, RecordAppender append, Func<long, long, bool> reserve)
    {
        this.store = store;
        this.device = device;
        this.checkpoints = checkpoints;
        this.append = append;
        this.reserve = reserve;
        thread = new("loom-records-reclaim", 1, faults);
        checkpoints.Ended = Consider;
    }

    /// <summary>Appends a record again, in the applier's place.</summary>
    internal delegate void RecordAppender(RecordKey key, ReadOnlySpan<byte> record);

    /// <summary>For tests: called with the address of each page before it is looked at.</summary>
    internal Action<long>? BeforePage { get; set; }

    /// <summary>A checkpoint would let files go: there are some below the begin of the log.</summary>
    public bool WantsCheckpoint => device.FirstAddress + device.SegmentBytes <= store.Log.BeginAddress;

    /// <summary>Any thread, as often as it likes; returns at once.</summary>
    public void Consider(IRecordOwner whose)
    {
        Volatile.Write(ref owner, whose);
        Consider();
    }

    /// <summary>False: it hangs in the disk.</summary>
    public bool Close(long untilTicks)
    {
        closed = true;
        return thread.Stop(untilTicks);
    }

    private void Consider()
    {
        if (closed || Volatile.Read(ref owner) is not { } whose || Volatile.Read(ref working) != 0 || !IsWorth(whose) || Interlocked.Exchange(ref working, 1) != 0)
        {
            return;
        }

        try
        {
            thread.Post(Work);
        }
        catch (ObjectDisposedException)
        {
            // The store closes.
        }
    }

    private void Work()
    {
        try
        {
            // Kept: every large array that is made anew brings a collection of the oldest generation nearer.
            page = page.Length > 0 ? page : GC.AllocateUninitializedArray<byte>(device.PageBytes);
            while (!closed && owner is { } whose && IsWorth(whose))
            {
                Step(whose);
            }
        }
        catch (LoomException) when (closed)
        {
            // What it worked on is being closed.
        }

        moving.Clear();
        Volatile.Write(ref working, 0);

        // A checkpoint that ended just now found it at work.
        Consider();
    }

    private bool IsPassing => store.Log.BeginAddress < passEnd;

    private double Garbage(IRecordOwner whose) => 1 - ((double)whose.NeededBytes / (store.Log.TailAddress - store.Log.BeginAddress));

    private bool IsWorth(IRecordOwner whose) =>
        store.Log.TailAddress - store.Log.BeginAddress >= 2L * device.SegmentBytes
        && Garbage(whose) > (IsPassing ? Enough : Worth)
        && (IsPassing || MayGain(whose))
        && NextPage() <= checkpoints.DurableEnd;

    /// <summary>A pass gives back nothing when nothing was trimmed since the last one began, unless it left tombstones that may go now.</summary>
    private bool MayGain(IRecordOwner whose) => keptTombstones || whose.TrimmedRevision > passTrimmed;

    private long NextPage() => ((store.Log.BeginAddress / device.PageBytes) + 1) * device.PageBytes;

    private void Step(IRecordOwner whose)
    {
        long started = Stopwatch.GetTimestamp();
        long from = store.Log.BeginAddress, until = NextPage();
        BeforePage?.Invoke(from);
        if (!IsPassing)
        {
            // Trimmed first: all that it dropped lies below the end that is read after it.
            passTrimmed = whose.TrimmedRevision;
            keptTombstones = false;
            passEnd = store.Log.TailAddress;
        }

        Span<byte> bytes = page.AsSpan(0, (int)(until - from));
        device.ReadAt(from, bytes);
        long moved = MoveNeeded(whose, from, bytes);
        if (!MoveBegin(whose, until))
        {
            return;
        }

        if (!IsPassing)
        {
            // Nothing is left of what the compaction dropped that everything was trimmed to when the pass began; so its tombstones delete nothing any more.
            tombstonesBelow = passTrimmed;
        }

        Pause(whose, moved, Stopwatch.GetElapsedTime(started));
    }

    /// <summary>Appends what is needed of a page again. Returns how many bytes that was.</summary>
    private long MoveNeeded(IRecordOwner whose, long address, ReadOnlySpan<byte> bytes)
    {
        long moved = 0;
        int turn = 0;
        for (int at = 0; !closed && TryRead(address + at, bytes[at..], out LoggedRecord record); at += record.Length)
        {
            if (!record.IsValid || !IsNeeded(whose, address + at, record))
            {
                continue;
            }

            moving.Add(new(record.Key, at + LoggedRecord.RecordOffset, record.Record.Length));
            moved += record.Length;
            turn += record.Length;
            if (moving.Count == TurnRecords || turn >= TurnBytes)
            {
                AppendMoving(whose);
                turn = 0;
            }
        }

        AppendMoving(whose);
        return moved;
    }

    private void AppendMoving(IRecordOwner whose)
    {
        while (moving.Count > 0 && !closed)
        {
            whose.BetweenBatches(() =>
            {
                if (!reserve(TurnBytes + FasterRecordStore.MaxRecordBytes, FasterRecordStore.MaxRecordBytes))
                {
                    return;
                }

                foreach (Moving record in moving)
                {
                    append(record.Key, page.AsSpan(record.At, record.Length));
                }

                moving.Clear();
            });
            if (moving.Count > 0)
            {
                // A full disk (S6). Who makes space may use the last of it; where there is none this waits, and holds nobody up.
                Thread.Sleep(SpaceRetryMilliseconds);
            }
        }
    }

    private bool IsNeeded(IRecordOwner whose, long address, in LoggedRecord record)
    {
        // Of the needless ones too: whether it is needed is asked with the key that stands in it.
        if (!record.IsIntact)
        {
            throw Damaged(address, $"the checksum of record {record.Key.Main}.{record.Key.Sub} does not match");
        }

        RecordHeader header = RecordCodec.ReadHeader(record.Key, record.Record);
        if (whose.Needs(header.Key, record.Key))
        {
            return true;
        }

        if (!header.IsTombstone || record.Key.Main < tombstonesBelow)
        {
            return false;
        }

        keptTombstones |= record.Key.Main < passTrimmed;
        return true;
    }

    private bool TryRead(long address, ReadOnlySpan<byte> rest, out LoggedRecord record)
    {
        try
        {
            return LoggedRecord.TryRead(rest, out record);
        }
        catch (InvalidDataException e)
        {
            throw Damaged(address, e.Message);
        }
    }

    /// <summary>False: the store closes.</summary>
    private bool MoveBegin(IRecordOwner whose, long until)
    {
        while (!closed)
        {
            bool moved = false;
            whose.BetweenBatches(() =>
            {
                if (!checkpoints.IsUnderWay)
                {
                    store.Log.ShiftBeginAddress(until);
                    moved = true;
                }
            });
            if (moved)
            {
                return true;
            }

            Thread.Sleep(2);
        }

        return false;
    }

    private void Pause(IRecordOwner whose, long moved, TimeSpan took)
    {
        bool isMuch = Garbage(whose) > Much;
        double disk = ((double)moved / (isMuch ? BusyBytesPerSecond : CalmBytesPerSecond)) - took.TotalSeconds;
        double processor = took.TotalSeconds * (isMuch ? 0.25 : 1);
        Thread.Sleep(TimeSpan.FromSeconds(Math.Clamp(Math.Max(disk, processor), 0, MaxPauseSeconds)));
    }

    private LoomException Damaged(long address, string what) => new(
        LoomErrorCode.Corruption,
        $"LOOM1020: {device.FileName}.{address / device.SegmentBytes} is damaged at offset {address % device.SegmentBytes}: {what}. Restart this member: it goes on from a checkpoint that is whole, or takes a snapshot from another member.");

    private readonly record struct Moving(RecordKey Key, int At, int Length);
}
