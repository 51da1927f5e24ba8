using System.Buffers.Binary;
using FASTER.core;

namespace Loom.Store.Records;

/// <summary>A record as it was found: a fresh array, and the checksum that stood before it. Checked outside of FASTER's epoch.</summary>
internal struct FoundRecord
{
    public byte[]? Bytes;
    public uint Checksum;
    public bool Found;
}

/// <summary>What FASTER calls while it reads and writes. Never throws: an exception out of a callback leaves a session stuck.</summary>
internal sealed class RecordFunctions : FunctionsBase<StoredKey, SpanByte, long, FoundRecord, int>
{
    public const int ChecksumBytes = sizeof(uint);

    /// <summary>Results by the slot that a read was issued for.</summary>
    public FoundRecord[] Slots { get; } = new FoundRecord[RecordReader.Width];

    /// <summary>Pending reads that have completed since the last reset.</summary>
    public int Completed { get; set; }

    /// <summary>An append met a record of other bytes under its key.</summary>
    public bool Conflict { get; set; }

    public override bool SingleReader(ref StoredKey key, ref long input, ref SpanByte value, ref FoundRecord output, ref ReadInfo info) => Copy(ref value, ref output);

    public override bool ConcurrentReader(ref StoredKey key, ref long input, ref SpanByte value, ref FoundRecord output, ref ReadInfo info) => Copy(ref value, ref output);

    public override bool SingleWriter(ref StoredKey key, ref long input, ref SpanByte source, ref SpanByte target, ref FoundRecord output, ref UpsertInfo info, WriteReason reason)
    {
        source.CopyTo(ref target);
        return true;
    }

    /// <summary>Replaying a revision writes nothing; other bytes under a revision would be a second truth.</summary>
    public override bool ConcurrentWriter(ref StoredKey key, ref long input, ref SpanByte source, ref SpanByte target, ref FoundRecord output, ref UpsertInfo info)
    {
        Conflict |= !target.AsReadOnlySpan().SequenceEqual(source.AsReadOnlySpan());
        return true;
    }

    public override void ReadCompletionCallback(ref StoredKey key, ref long input, ref FoundRecord output, int slot, Status status, RecordMetadata metadata)
    {
        Slots[slot] = output;
        Slots[slot].Found = status.Found;
        Completed++;
    }

    private static bool Copy(ref SpanByte value, ref FoundRecord output)
    {
        ReadOnlySpan<byte> stored = value.AsReadOnlySpan();
        if (stored.Length < ChecksumBytes || stored.Length > FasterRecordStore.MaxRecordBytes + ChecksumBytes)
        {
            // Damage: reported with the checksum of nothing, which no record has.
            output.Bytes = [];
            output.Checksum = 0;
            return true;
        }

        output.Checksum = BinaryPrimitives.ReadUInt32LittleEndian(stored);
        byte[] bytes = GC.AllocateUninitializedArray<byte>(stored.Length - ChecksumBytes);
        stored[ChecksumBytes..].CopyTo(bytes);
        output.Bytes = bytes;
        return true;
    }
}
