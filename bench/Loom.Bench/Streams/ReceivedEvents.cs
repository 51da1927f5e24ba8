using System.Buffers.Binary;
using Google.Protobuf;
using Grpc.Core;
using Loom.Server.Etcd.Protos;

namespace Loom.Bench.Streams;

/// <summary>A WatchResponse of which only this is decoded: how many events, and the first eight bytes of each value.</summary>
internal sealed class ReceivedEvents
{
    public static readonly Method<WatchRequest, ReceivedEvents> Watch = new(
        MethodType.DuplexStreaming, "etcdserverpb.Watch", "Watch",
        Marshallers.Create(request => request.ToByteArray(), WatchRequest.Parser.ParseFrom),
        Marshallers.Create(_ => throw new NotSupportedException(), bytes => Parse(bytes)));

    private readonly List<long> puts = [];

    public int Count => puts.Count;

    public IReadOnlyList<long> Puts => puts;

    private static ReceivedEvents Parse(ReadOnlySpan<byte> response)
    {
        var events = new ReceivedEvents();
        while (Next(ref response, out int field, out ReadOnlySpan<byte> content))
        {
            if (field == 11)
            {
                events.puts.Add(ValueOf(content));
            }
        }

        return events;
    }

    /// <summary>Event.kv.value: field 5 of field 2.</summary>
    private static long ValueOf(ReadOnlySpan<byte> message)
    {
        while (Next(ref message, out int field, out ReadOnlySpan<byte> content))
        {
            if (field != 2)
            {
                continue;
            }

            while (Next(ref content, out int inner, out ReadOnlySpan<byte> value))
            {
                if (inner == 5)
                {
                    return BinaryPrimitives.ReadInt64LittleEndian(value);
                }
            }
        }

        throw new InvalidDataException("an event without a value");
    }

    private static bool Next(ref ReadOnlySpan<byte> message, out int field, out ReadOnlySpan<byte> content)
    {
        field = 0;
        content = default;
        if (message.IsEmpty)
        {
            return false;
        }

        ulong tag = VarInt(ref message);
        field = (int)(tag >> 3);
        ulong value = VarInt(ref message);
        if ((tag & 7) == 2)
        {
            content = message[..(int)value];
            message = message[(int)value..];
        }

        return true;
    }

    private static ulong VarInt(ref ReadOnlySpan<byte> message)
    {
        ulong value = 0;
        for (int i = 0; ; i++)
        {
            byte next = message[i];
            value |= (ulong)(next & 0x7f) << (7 * i);
            if (next < 0x80)
            {
                message = message[(i + 1)..];
                return value;
            }
        }
    }
}
