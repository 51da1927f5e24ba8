using System.Buffers;
using Loom.Store.Model;
using MessagePack;

namespace Loom.Store.Commands;

/// <summary>
/// Bytes → command. Whatever the bytes are, the only exception is <see cref="CommandFormatException"/>, and nothing is allocated for a length
/// that the payload does not hold. Keys and values are slices of the payload: entry memory is never reused (L10).
/// </summary>
internal static class CommandReader
{
    public static Command Decode(ReadOnlyMemory<byte> payload)
    {
        if (payload.Length > CommandLimits.MaxPayloadBytes)
        {
            throw new CommandFormatException($"A command of {payload.Length} bytes; at most {CommandLimits.MaxPayloadBytes} are decoded.");
        }

        try
        {
            var reader = new MessagePackReader(payload);
            Expect(ref reader, 3, "command");
            int format = reader.ReadInt32();
            Command command = format switch
            {
                CommandWriter.Format => ReadBody(ref reader, reader.ReadInt32(), payload),
                CommandWriter.FormatWithCaller => ReadOfCaller(ref reader, payload),
                _ => throw new CommandFormatException($"Command format {format}; this version knows {CommandWriter.Format} and {CommandWriter.FormatWithCaller}.", isUnknownVersion: true),
            };
            return reader.End ? command : throw new CommandFormatException("Bytes follow the command.");
        }
        catch (Exception exception) when (exception is not (CommandFormatException or OutOfMemoryException))
        {
            throw new CommandFormatException("Not a command: " + exception.Message, inner: exception);
        }
    }

    private static Command ReadOfCaller(ref MessagePackReader reader, ReadOnlyMemory<byte> payload)
    {
        int kind = reader.ReadInt32();
        Expect(ref reader, 3, "command with its caller");
        string user = AuthCommandCodec.ReadName(ref reader);
        long revision = reader.ReadInt64();
        return ReadBody(ref reader, kind, payload) with { Caller = user.Length == 0 && revision == 0 ? Caller.Anonymous : new Caller(user, revision) };
    }

    private static Command ReadBody(ref MessagePackReader reader, int kind, ReadOnlyMemory<byte> payload)
    {
        switch (kind)
        {
            case (int)CommandKind.Put:
                return new PutCommand(ReadPut(ref reader));
            case (int)CommandKind.Delete:
                return new DeleteCommand(ReadDelete(ref reader));
            case (int)CommandKind.Transaction:
                return new TransactionCommand(ReadTransaction(ref reader, CommandLimits.MaxOperations));
            case (int)CommandKind.Compact:
                Expect(ref reader, 1, "compact");
                return new CompactCommand(reader.ReadInt64());
            case (int)CommandKind.LeaseGrant:
                Expect(ref reader, 2, "grant");
                return new LeaseGrantCommand(reader.ReadInt64(), reader.ReadInt64());
            case (int)CommandKind.LeaseRevoke:
                Expect(ref reader, 1, "revoke");
                return new LeaseRevokeCommand(reader.ReadInt64());
            case (int)CommandKind.LeaseRenew:
                return new LeaseRenewCommand(ReadLeases(ref reader));
            case (int)CommandKind.LeaseExpire:
                Expect(ref reader, 2, "expire");
                return new LeaseExpireCommand(reader.ReadInt64(), ReadLeases(ref reader));
            case (int)CommandKind.Alarm:
                return ReadAlarm(ref reader);
            default:
                return AuthCommandCodec.Read(ref reader, kind) ?? throw new CommandFormatException($"Command kind {kind} of {payload.Length} bytes is not known to this version.", isUnknownVersion: true);
        }
    }

    private static AlarmCommand ReadAlarm(ref MessagePackReader reader)
    {
        Expect(ref reader, 3, "alarm");
        int flags = ReadFlags(ref reader, 3);
        byte kind = reader.ReadByte();
        return kind is >= (byte)AlarmKind.NoSpace and <= (byte)AlarmKind.LowDisk
            ? new AlarmCommand((flags & 1) != 0, new Alarm((AlarmKind)kind, reader.ReadUInt64(), (flags & 2) != 0))
            : throw new CommandFormatException($"Alarm kind {kind} is not known to this version.", isUnknownVersion: true);
    }

    private static long[] ReadLeases(ref MessagePackReader reader)
    {
        long[] leases = new long[ReadCount(ref reader, CommandLimits.MaxLeases)];
        for (int i = 0; i < leases.Length; i++)
        {
            leases[i] = reader.ReadInt64();
            if (i > 0 && leases[i] <= leases[i - 1])
            {
                throw new CommandFormatException("Leases are not in ascending order.");
            }
        }

        return leases;
    }

    private static PutOperation ReadPut(ref MessagePackReader reader)
    {
        Expect(ref reader, 4, "put");
        int flags = ReadFlags(ref reader, 7);
        ReadOnlyMemory<byte> key = ReadBytes(ref reader);
        ReadOnlyMemory<byte> value = ReadBytes(ref reader);
        return new PutOperation(key, value)
        {
            Lease = reader.ReadInt64(),
            PreviousPair = (flags & 1) != 0,
            IgnoreValue = (flags & 2) != 0,
            IgnoreLease = (flags & 4) != 0,
        };
    }

    private static DeleteOperation ReadDelete(ref MessagePackReader reader)
    {
        Expect(ref reader, 3, "delete");
        int flags = ReadFlags(ref reader, 1);
        return new DeleteOperation(ReadRange(ref reader)) { PreviousPairs = flags != 0 };
    }

    /// <summary><paramref name="budget"/> falls by at least one per level, so depth and recursion are bounded by it (etcd's rule).</summary>
    private static Transaction ReadTransaction(ref MessagePackReader reader, int budget)
    {
        Expect(ref reader, 3, "transaction");
        var compares = new Compare[ReadCount(ref reader, budget)];
        for (int i = 0; i < compares.Length; i++)
        {
            Expect(ref reader, 6, "compare");
            int target = reader.ReadInt32();
            int result = reader.ReadInt32();
            KeyRange range = ReadRange(ref reader);
            compares[i] = new Compare(range, (CompareTarget)target, (CompareResult)result, reader.ReadInt64(), ReadBytes(ref reader));
        }

        // The exact nested budget is a rule of the machine; here one level less bounds the recursion.
        Operation[] success = ReadOperations(ref reader, budget);
        Operation[] failure = ReadOperations(ref reader, budget);
        return new Transaction(compares, success, failure);
    }

    private static Operation[] ReadOperations(ref MessagePackReader reader, int budget)
    {
        var operations = new Operation[ReadCount(ref reader, budget)];
        for (int i = 0; i < operations.Length; i++)
        {
            Expect(ref reader, 2, "operation");
            int tag = reader.ReadInt32();
            operations[i] = tag switch
            {
                1 => ReadPut(ref reader),
                2 => ReadDelete(ref reader),
                3 => new RangeOperation(ReadQuery(ref reader)),
                4 => new NestedOperation(ReadTransaction(ref reader, budget - 1)),
                _ => throw new CommandFormatException($"Operation tag {tag} is not known to this version.", isUnknownVersion: true),
            };
        }

        return operations;
    }

    private static RangeQuery ReadQuery(ref MessagePackReader reader)
    {
        Expect(ref reader, 11, "range");
        int flags = ReadFlags(ref reader, 3);
        return new RangeQuery(ReadRange(ref reader))
        {
            KeysOnly = (flags & 1) != 0,
            CountOnly = (flags & 2) != 0,
            Limit = reader.ReadInt64(),
            Revision = reader.ReadInt64(),
            SortOrder = (SortOrder)reader.ReadByte(),
            SortTarget = (SortTarget)reader.ReadByte(),
            MinModRevision = reader.ReadInt64(),
            MaxModRevision = reader.ReadInt64(),
            MinCreateRevision = reader.ReadInt64(),
            MaxCreateRevision = reader.ReadInt64(),
        };
    }

    internal static KeyRange ReadRange(ref MessagePackReader reader)
    {
        ReadOnlyMemory<byte> start = ReadBytes(ref reader);
        return new KeyRange(start, ReadBytes(ref reader));
    }

    /// <summary>A slice of the payload: a sequence over one memory has one segment.</summary>
    internal static ReadOnlyMemory<byte> ReadBytes(ref MessagePackReader reader)
    {
        ReadOnlySequence<byte> bytes = reader.ReadBytes() ?? throw new CommandFormatException("Nil where bytes belong.");
        return bytes.First;
    }

    internal static int ReadFlags(ref MessagePackReader reader, int known)
    {
        int flags = reader.ReadInt32();
        return (flags & ~known) == 0 ? flags : throw new CommandFormatException($"Flags {flags} are not known to this version.", isUnknownVersion: true);
    }

    private static int ReadCount(ref MessagePackReader reader, int limit)
    {
        int count = reader.ReadArrayHeader();
        return count <= limit ? count : throw new CommandFormatException($"{count} elements in a list of at most {limit}.");
    }

    internal static void Expect(ref MessagePackReader reader, int fields, string what)
    {
        int count = reader.ReadArrayHeader();
        if (count != fields)
        {
            throw new CommandFormatException($"A {what} of {count} fields; it has {fields}.");
        }
    }
}
