using System.Buffers.Binary;
using System.IO.Hashing;
using Loom.Raft.Sessions;
using Loom.Store.Mvcc;

namespace Loom.Store.Applying;

/// <summary>XxHash128 of (write batch, outcome), the same on every replica (S5): it links into the apply hash that replicas compare.</summary>
internal sealed class BatchHash
{
    private readonly XxHash128 hash = new();

    public void Begin() => hash.Reset();

    public void Add(RecordKey at, ReadOnlySpan<byte> record)
    {
        Span<byte> header = stackalloc byte[16];
        BinaryPrimitives.WriteInt64LittleEndian(header, at.Main);
        BinaryPrimitives.WriteInt32LittleEndian(header[8..], at.Sub);
        BinaryPrimitives.WriteInt32LittleEndian(header[12..], record.Length);
        hash.Append(header);
        hash.Append(record);
    }

    public UInt128 End(long compactTo, in Outcome outcome)
    {
        Span<byte> tail = stackalloc byte[32];
        BinaryPrimitives.WriteInt64LittleEndian(tail, compactTo);
        BinaryPrimitives.WriteInt32LittleEndian(tail[8..], outcome.Code);
        BinaryPrimitives.WriteInt32LittleEndian(tail[12..], outcome.Branch);
        BinaryPrimitives.WriteInt64LittleEndian(tail[16..], outcome.Revision);
        BinaryPrimitives.WriteInt64LittleEndian(tail[24..], outcome.Extra);
        hash.Append(tail);
        return hash.GetCurrentHashAsUInt128();
    }
}
