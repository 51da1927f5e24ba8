using System.Buffers.Binary;
using System.Text;

namespace Loom.Raft.Transport;

/// <summary>A growing buffer of little-endian fields. Kept and reused by one sending thread; its limit is its owner's message limit.</summary>
internal sealed class WireWriter(int capacity = 4096)
{
    private byte[] buffer = new byte[capacity];

    public int Length { get; private set; }

    public ReadOnlySpan<byte> Written => buffer.AsSpan(0, Length);

    /// <summary>The written bytes for patching: headers are filled in after their bodies.</summary>
    public Span<byte> Patch(int from) => buffer.AsSpan(from, Length - from);

    public byte[] Buffer => buffer;

    public void Clear()
    {
        Length = 0;
        // One large entry must not pin its size for the life of the connection.
        if (buffer.Length > 1024 * 1024) buffer = new byte[64 * 1024];
    }

    public Span<byte> Reserve(int bytes)
    {
        if (buffer.Length - Length < bytes) Array.Resize(ref buffer, Math.Max(buffer.Length * 2, Length + bytes));
        Span<byte> span = buffer.AsSpan(Length, bytes);
        Length += bytes;
        return span;
    }

    public void Byte(byte value) => Reserve(1)[0] = value;

    public void Bool(bool value) => Byte(value ? (byte)1 : (byte)0);

    public void UInt32(uint value) => BinaryPrimitives.WriteUInt32LittleEndian(Reserve(4), value);

    public void Int64(long value) => BinaryPrimitives.WriteInt64LittleEndian(Reserve(8), value);

    public void UInt64(ulong value) => BinaryPrimitives.WriteUInt64LittleEndian(Reserve(8), value);

    public void Bytes(ReadOnlySpan<byte> value) => value.CopyTo(Reserve(value.Length));

    /// <summary>Length u32, then the bytes.</summary>
    public void Blob(ReadOnlySpan<byte> value)
    {
        UInt32((uint)value.Length);
        Bytes(value);
    }

    /// <summary>UTF-8 with its length.</summary>
    public void Text(string value) => Blob(Encoding.UTF8.GetBytes(value));

    public void Texts(IReadOnlyList<string> values)
    {
        UInt32((uint)values.Count);
        foreach (string value in values) Text(value);
    }
}

/// <summary>Reads what <see cref="WireWriter"/> wrote. Every length is checked against what is there before anything is allocated; a short or odd body is a <see cref="WireException"/>.</summary>
internal ref struct WireReader(ReadOnlySpan<byte> bytes)
{
    private ReadOnlySpan<byte> rest = bytes;

    public readonly int Remaining => rest.Length;

    public ReadOnlySpan<byte> Take(int count)
    {
        if ((uint)count > (uint)rest.Length) throw new WireException($"{count} bytes announced, {rest.Length} there");
        ReadOnlySpan<byte> taken = rest[..count];
        rest = rest[count..];
        return taken;
    }

    public byte Byte() => Take(1)[0];

    public bool Bool() => Byte() switch
    {
        0 => false,
        1 => true,
        byte other => throw new WireException($"{other} is neither true nor false"),
    };

    public uint UInt32() => BinaryPrimitives.ReadUInt32LittleEndian(Take(4));

    public long Int64() => BinaryPrimitives.ReadInt64LittleEndian(Take(8));

    public ulong UInt64() => BinaryPrimitives.ReadUInt64LittleEndian(Take(8));

    public ReadOnlySpan<byte> Blob()
    {
        uint length = UInt32();
        if (length > (uint)rest.Length) throw new WireException($"{length} bytes announced, {rest.Length} there");
        return Take((int)length);
    }

    public string Text(int maxBytes = 4096)
    {
        ReadOnlySpan<byte> text = Blob();
        if (text.Length > maxBytes) throw new WireException($"a text of {text.Length} bytes, at most {maxBytes} are allowed");
        return Encoding.UTF8.GetString(text);
    }

    /// <summary>A count of items that take at least <paramref name="itemBytes"/> each, so that a lying count cannot make us allocate.</summary>
    public int Count(int itemBytes)
    {
        uint count = UInt32();
        if (count > (uint)(rest.Length / itemBytes)) throw new WireException($"{count} items announced, {rest.Length} bytes there");
        return (int)count;
    }

    public string[] Texts()
    {
        var texts = new string[Count(4)];
        for (int i = 0; i < texts.Length; i++) texts[i] = Text();
        return texts;
    }

    /// <summary>Nothing may follow: a longer body is of a version we do not know.</summary>
    public readonly void End()
    {
        if (rest.Length != 0) throw new WireException($"{rest.Length} bytes too many");
    }
}
