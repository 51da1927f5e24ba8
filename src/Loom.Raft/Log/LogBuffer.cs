namespace Loom.Raft.Log;

/// <summary>The bytes of one write, built up in place.</summary>
internal sealed class LogBuffer
{
    private byte[] bytes = new byte[64 * 1024];

    public int Length { get; private set; }

    public ReadOnlySpan<byte> Written => bytes.AsSpan(0, Length);

    public void Clear() => Length = 0;

    /// <summary>The next bytes to fill in. An earlier span must not be written any more: the buffer may have moved.</summary>
    public Span<byte> Take(int count)
    {
        if (Length + count > bytes.Length)
            Array.Resize(ref bytes, (int)Math.Max(Math.Min((long)bytes.Length * 2, Array.MaxLength), (long)Length + count));
        Span<byte> taken = bytes.AsSpan(Length, count);
        Length += count;
        return taken;
    }

    /// <summary>A buffer that one large entry made large is not kept.</summary>
    public void Shrink(int keep)
    {
        if (bytes.Length > keep)
            bytes = new byte[64 * 1024];
        Length = 0;
    }
}
