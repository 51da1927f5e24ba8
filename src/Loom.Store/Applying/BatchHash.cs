using System.Buffers.Binary;
using System.IO.Hashing;
using Loom.Raft.Sessions;
using Loom.Store.Leases;
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

    /// <param name="batch">Its records were added one by one; the rest of it is added here.</param>
    /// <param name="outcome">The outcome.</param>
    public UInt128 End(WriteBatch batch, in Outcome outcome)
    {
        if (batch.Alarms is { } alarms)
        {
            Span<byte> table = stackalloc byte[alarms.EncodedBytes];
            alarms.Encode(table);
            hash.Append(table);
        }

        if (batch.Auth is { } auth)
        {
            hash.Append(auth.Encode());
        }

        if (batch.Leases.Length > 0)
        {
            Span<byte> lease = stackalloc byte[25];
            foreach (ref readonly LeaseChange change in batch.Leases)
            {
                LeaseTerms.Encode(change.Term, lease);
                lease[24] = change.Ends ? (byte)1 : (byte)0;
                hash.Append(lease);
            }
        }

        long compactTo = batch.CompactTo ?? -1;
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
