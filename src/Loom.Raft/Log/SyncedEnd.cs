using System.Buffers.Binary;
using Loom.Raft.Diagnostics;

namespace Loom.Raft.Log;

/// <summary>
/// The file raft/synced: up to where the stream is known to be flushed (L4). A log cut below it is damaged, not torn: that is how it is told after a kill.
/// Two slots, each in a block of its own; the intact one with the higher counter counts. Between two flushes of this file only one slot is written, again and again, and the
/// flushed one is left alone: writing them in turn would let a power cut tear both, and a member that lost nothing would refuse to start.
/// <code>
/// slot at 0 and at 4096:  0 u32 magic "LMSE" | 4 u16 format = 1 | 6 u16 zero | 8 u64 cluster id | 16 u64 member id | 24 u64 counter | 32 u64 segment | 40 u64 offset | 48 u32 CRC-32C of bytes 0 to 47
/// </code>
/// </summary>
internal sealed class SyncedEnd : IDisposable
{
    public const string FileName = "synced";
    private const uint Magic = 0x45534D4C; // "LMSE"
    private const ushort Format = 1;
    private const int SlotBytes = 52;
    private const string Remedy = "Without it a log that lost its end cannot be told from a whole one. " + LogRecovery.StartOver;

    private readonly IFile file;
    private readonly byte[] slot = new byte[SlotBytes];
    private ulong counter;

    // The slot that is known to be on disk, and the one written last.
    private int flushedSlot = 1;
    private int writtenSlot;

    private SyncedEnd(IFile file, LogIdentity? identity)
    {
        this.file = file;
        Identity = identity;
    }

    /// <summary>Whose log it is.</summary>
    public LogIdentity? Identity { get; private set; }

    public LogPosition Position { get; private set; }

    /// <summary>Makes the file atomically; durable on return.</summary>
    public static void Create(IFileSystem files, string directory, LogIdentity identity, LogPosition position)
    {
        string path = $"{directory}/{FileName}", temporary = path + ".tmp";
        using (IFile file = files.Open(temporary, create: true))
        {
            var synced = new SyncedEnd(file, identity);
            synced.Settle(position);
        }

        files.Rename(temporary, path);
        files.FlushDirectory(directory);
    }

    /// <summary>Opens the file of this member, or, to learn whose it is, of anybody (null).</summary>
    /// <exception cref="CorruptionException">Missing, or neither slot is intact.</exception>
    public static SyncedEnd Open(IFileSystem files, string directory, LogIdentity? identity)
    {
        string path = $"{directory}/{FileName}";
        if (!files.FileExists(path))
            throw new CorruptionException(path, 0, "it is missing", Remedy);
        var synced = new SyncedEnd(files.Open(path, create: false), identity);
        try
        {
            bool first = synced.TryRead(path, 0), second = synced.TryRead(path, 1);
            if (!first && !second)
                throw new CorruptionException(path, 0, "neither of its two slots is intact", Remedy);

            // After a kill the better slot may be in the page cache only: on disk with it, before the other one is written.
            synced.Flush();
            return synced;
        }
        catch
        {
            synced.Dispose();
            throw;
        }
    }

    /// <summary>Not flushed: after a kill the page cache still has it.</summary>
    public void Write(LogPosition position)
    {
        counter++;
        Position = position;
        BinaryPrimitives.WriteUInt32LittleEndian(slot, Magic);
        BinaryPrimitives.WriteUInt16LittleEndian(slot.AsSpan(4), Format);
        BinaryPrimitives.WriteUInt64LittleEndian(slot.AsSpan(8), Identity!.Value.ClusterId);
        BinaryPrimitives.WriteUInt64LittleEndian(slot.AsSpan(16), Identity.Value.MemberId.Value);
        BinaryPrimitives.WriteUInt64LittleEndian(slot.AsSpan(24), counter);
        BinaryPrimitives.WriteInt64LittleEndian(slot.AsSpan(32), position.Sequence);
        BinaryPrimitives.WriteInt64LittleEndian(slot.AsSpan(40), position.Offset);
        BinaryPrimitives.WriteUInt32LittleEndian(slot.AsSpan(48), Crc32C.Continue(0, slot.AsSpan(0, 48)));
        int slotNumber = 1 - flushedSlot;
#if LOOM_MUTATIONS
        if (Diagnostics.Mutations.On("L4-both-slots-unflushed"))
            slotNumber = 1 - writtenSlot;
#endif
        writtenSlot = slotNumber;
        file.Write((long)writtenSlot * SegmentHeader.BlockBytes, slot);
    }

    /// <summary>Puts a position into both slots, flushed one after the other. At a new segment's first batch: recovery drops a segment of which no slot speaks,
    /// so one damaged slot must not be able to take a reported batch with it.</summary>
    public void Settle(LogPosition position)
    {
        Write(position);
        Flush();
        Write(position);
        Flush();
    }

    public void Flush()
    {
        file.Flush();
        flushedSlot = writtenSlot;
    }

    public void Dispose() => file.Dispose();

    private bool TryRead(string path, int number)
    {
        if (file.Read((long)number * SegmentHeader.BlockBytes, slot) < SlotBytes || BinaryPrimitives.ReadUInt32LittleEndian(slot) != Magic
            || BinaryPrimitives.ReadUInt32LittleEndian(slot.AsSpan(48)) != Crc32C.Continue(0, slot.AsSpan(0, 48)))
            return false;
        ushort format = BinaryPrimitives.ReadUInt16LittleEndian(slot.AsSpan(4));
        if (format != Format)
        {
            throw new RaftException(RaftErrorCode.CannotOpen,
                $"{path} has format {format}; this version of Loom knows {Format}. Start the version of Loom that wrote it.");
        }

        LogIdentity found = new(BinaryPrimitives.ReadUInt64LittleEndian(slot.AsSpan(8)), new Consensus.MemberId(BinaryPrimitives.ReadUInt64LittleEndian(slot.AsSpan(16))));
        if (Identity is { } expected && found != expected)
            throw LogRecovery.Foreign(path, found, expected);
        Identity = found;
        ulong count = BinaryPrimitives.ReadUInt64LittleEndian(slot.AsSpan(24));
        if (count > counter)
        {
            counter = count;
            writtenSlot = number;
            Position = new LogPosition(BinaryPrimitives.ReadInt64LittleEndian(slot.AsSpan(32)), BinaryPrimitives.ReadInt64LittleEndian(slot.AsSpan(40)));
        }

        return true;
    }
}
