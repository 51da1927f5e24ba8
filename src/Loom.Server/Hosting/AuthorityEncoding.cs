using System.Text;

namespace Loom.Server.Hosting;

/// <summary>
/// Reads the value of HTTP/2's <c>:authority</c>: "http://10.0.0.1:2379/" is read as "10.0.0.1:2379". Go's clientv3 3.4 (Debian's etcdctl) sends an endpoint as its
/// user wrote it, etcd does not look at it, and Kestrel would reset the stream before any of our code sees it.
/// </summary>
/// <remarks>
/// An encoding, since how the bytes of a header become its text is the one thing that Kestrel asks for before it checks that text. It still checks what is given
/// here, so this decides nothing about what is valid: a byte that is not ASCII, or a value with nothing behind its scheme, is left in the text and refused there.
/// Kestrel keeps the text with its pooled streams and compares bytes first, so a client without a scheme comes here once per pooled stream, not once per request.
/// </remarks>
internal sealed class AuthorityEncoding : Encoding
{
    public const string Authority = ":authority";

    public static readonly AuthorityEncoding Instance = new();

    private AuthorityEncoding()
    {
    }

    /// <summary>For <c>KestrelServerOptions.RequestHeaderEncodingSelector</c>. Null: Kestrel's default, for every other header.</summary>
    public static Encoding? Select(string headerName) => headerName == Authority ? Instance : null;

    public override int GetCharCount(byte[] bytes, int index, int count) => HostAndPort(bytes.AsSpan(index, count)).Length;

    public override int GetChars(byte[] bytes, int byteIndex, int byteCount, char[] chars, int charIndex) =>
        Latin1.GetChars(HostAndPort(bytes.AsSpan(byteIndex, byteCount)), chars.AsSpan(charIndex));

    public override int GetMaxCharCount(int byteCount) => Latin1.GetMaxCharCount(byteCount);

    public override int GetByteCount(char[] chars, int index, int count) => Latin1.GetByteCount(chars, index, count);

    public override int GetBytes(char[] chars, int charIndex, int charCount, byte[] bytes, int byteIndex) =>
        Latin1.GetBytes(chars, charIndex, charCount, bytes, byteIndex);

    public override int GetMaxByteCount(int charCount) => Latin1.GetMaxByteCount(charCount);

    /// <summary>What stands between the scheme and the path. Without a scheme, or with nothing behind it, the value as it is.</summary>
    private static ReadOnlySpan<byte> HostAndPort(ReadOnlySpan<byte> value)
    {
        int scheme = value.IndexOf("://"u8);
        if (scheme < 0)
        {
            return value;
        }

        ReadOnlySpan<byte> rest = value[(scheme + 3)..];
        int path = rest.IndexOf((byte)'/');
        ReadOnlySpan<byte> host = path < 0 ? rest : rest[..path];
        return host.IsEmpty ? value : host;
    }
}
