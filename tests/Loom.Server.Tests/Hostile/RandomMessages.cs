using Google.Protobuf;
using Google.Protobuf.Reflection;

namespace Loom.Server.Tests.Hostile;

/// <summary>Messages of any kind with random fields: parts that are missing, enum values that nobody knows, numbers at their ends; and bytes that are almost such a message.</summary>
internal sealed class RandomMessages(int seed)
{
    private readonly Random random = new(seed);

    public IMessage Next(MessageDescriptor descriptor, int depth = 4)
    {
        IMessage message = descriptor.Parser.ParseFrom(ByteString.Empty);
        foreach (FieldDescriptor field in descriptor.Fields.InFieldNumberOrder())
        {
            if (random.Next(3) == 0)
            {
                continue;
            }

            if (field.IsRepeated)
            {
                var list = (System.Collections.IList)field.Accessor.GetValue(message);
                for (int i = random.Next(4); i > 0 && Value(field, depth) is { } value; i--)
                {
                    list.Add(value);
                }
            }
            else if (Value(field, depth) is { } value)
            {
                field.Accessor.SetValue(message, value);
            }
        }

        return message;
    }

    /// <summary>Its bytes, often with some changed, cut off, repeated, or nothing of it left.</summary>
    public byte[] Damaged(IMessage message)
    {
        byte[] bytes = message.ToByteArray();
        switch (random.Next(5))
        {
            case 0:
                return bytes;
            case 1:
                return bytes[..random.Next(bytes.Length + 1)];
            case 2:
                return [.. bytes, .. bytes[random.Next(bytes.Length + 1)..], .. Bytes(random.Next(12))];
            case 3:
                return Bytes(random.Next(200));
            default:
                for (int i = random.Next(1, 6); i > 0 && bytes.Length > 0; i--)
                {
                    bytes[random.Next(bytes.Length)] = (byte)random.Next(256);
                }

                return bytes;
        }
    }

    /// <summary>The text of a message, often with some characters changed or cut off.</summary>
    public string Damaged(string text)
    {
        const string Some = "{}[]\",:\\0123456789eE+-.truefalsn \t\n\u0000\ud83d";
        char[] chars = text.ToCharArray();
        for (int i = random.Next(4); i > 0 && chars.Length > 0; i--)
        {
            chars[random.Next(chars.Length)] = Some[random.Next(Some.Length)];
        }

        string damaged = new(chars, 0, random.Next(3) == 0 ? random.Next(chars.Length + 1) : chars.Length);
        return random.Next(20) == 0 ? string.Concat(Enumerable.Repeat("{\"txn\":[", random.Next(1, 4000))) + damaged : damaged;
    }

    private object? Value(FieldDescriptor field, int depth) => field.FieldType switch
    {
        FieldType.Message or FieldType.Group => depth == 0 ? null : Next(field.MessageType, depth - 1),
        FieldType.Bytes => ByteString.CopyFrom(Bytes(random.Next(6))),
        FieldType.String => random.Next(3) == 0 ? new string((char)random.Next(1, 0xd7ff), random.Next(5)) : "name" + random.Next(3),
        FieldType.Bool => random.Next(2) == 0,
        FieldType.Enum => Enum.ToObject(field.EnumType.ClrType, random.Next(4) == 0 ? (int)Number() : random.Next(5)),
        FieldType.Int64 or FieldType.SInt64 or FieldType.SFixed64 => Number(),
        FieldType.UInt64 or FieldType.Fixed64 => (ulong)Number(),
        FieldType.Int32 or FieldType.SInt32 or FieldType.SFixed32 => (int)Number(),
        FieldType.UInt32 or FieldType.Fixed32 => (uint)Number(),
        _ => null,
    };

    private long Number() => random.Next(6) switch { 0 => long.MaxValue, 1 => long.MinValue, 2 => -1, 3 => random.NextInt64(), _ => random.Next(10) };

    private byte[] Bytes(int count)
    {
        byte[] bytes = new byte[count];
        random.NextBytes(bytes);
        return bytes;
    }
}
