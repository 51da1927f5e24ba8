using System.Buffers.Binary;
using System.Text;
using Loom.Raft.Consensus;
using Loom.Raft.Log;

namespace Loom.Raft.Membership;

/// <summary>
/// Who this data directory is (E1): the file DIRECTORY/cluster. Written once before the member first answers a peer, and once more when its cluster is formed.
/// <code>
/// u32 magic "LMID" | u16 version = 2 | u16 length of all that follows the checksum | u32 CRC-32C of all but itself
/// u64 member id | u64 incarnation | u64 cluster id (0: not formed) | u64 hash of the initial configuration (0: not formed) | str name | str token | u64 origin
/// str = u16 length + UTF-8; all integers little-endian
/// </code>
/// Version 1 had no origin; it is read as origin 0.
/// </summary>
/// <param name="Id">Never zero.</param>
/// <param name="Incarnation">Random number drawn when the directory was made, pinned in the configuration.</param>
/// <param name="Name">The member's name.</param>
/// <param name="Token">Token of the cluster it belongs to.</param>
/// <param name="ClusterId">Hash of the initial configuration and the token (N5); 0 until the cluster is formed.</param>
/// <param name="ConfigurationHash">Hash of the initial configuration; 0 until the cluster is formed.</param>
/// <param name="Origin">From which backup its cluster begins (<see cref="RestoredFile"/>); 0: from nothing.</param>
internal sealed record MemberIdentity(MemberId Id, ulong Incarnation, string Name, string Token, ulong ClusterId, ulong ConfigurationHash, ulong Origin = 0)
{
    public const string FileName = "cluster";
    private const uint Magic = 0x44494D4C; // "LMID"
    private const ushort Version = 2;
    private const ushort VersionWithoutOrigin = 1;
    private const int HeadBytes = 12;

    /// <summary>True once the initial configuration is agreed and its log made. Before that the member neither votes nor campaigns (N5).</summary>
    public bool IsFormed => ClusterId != 0;

    /// <summary>The identity in a data directory, or null in one that never had any.</summary>
    /// <exception cref="CorruptionException">The file is damaged.</exception>
    /// <exception cref="RaftException">CannotOpen: another format.</exception>
    public static MemberIdentity? Read(IFileSystem files, string directory)
    {
        string path = $"{directory}/{FileName}";
        if (!files.FileExists(path))
            return null;
        using IFile file = files.Open(path, create: false);
        byte[] bytes = new byte[(int)Math.Min(file.Length, HeadBytes + ushort.MaxValue + 1)];
        int length = file.Read(0, bytes);
        return Decode(path, bytes.AsSpan(0, length));
    }

    /// <summary>What is wrong with a directory that holds something of a member, but not whose.</summary>
    public static CorruptionException Missing(string directory) => Damage($"{directory}/{FileName}", 0, "it is missing");

    /// <summary>Replaces the file atomically; durable on return. A crash leaves the old one or the new one.</summary>
    public void Write(IFileSystem files, string directory) => SmallFile.Replace(files, directory, FileName, Encode());

    /// <summary>Refuses a directory that belongs to somebody else. Only what a used directory cannot take over is checked; other flags are ignored (N5).</summary>
    /// <exception cref="RaftException">CannotOpen.</exception>
    public void RequireToken(string directory, string token)
    {
        if (!string.Equals(Token, token, StringComparison.Ordinal))
        {
            throw new RaftException(RaftErrorCode.CannotOpen,
                $"The data directory {directory} belongs to member {Name} of a cluster with the token \"{Token}\", not \"{token}\". "
                + "Start it with that token, or choose another directory.");
        }
    }

    private byte[] Encode()
    {
        byte[] name = Encoding.UTF8.GetBytes(Name), token = Encoding.UTF8.GetBytes(Token);
        byte[] bytes = new byte[HeadBytes + 32 + 4 + name.Length + token.Length + 8];
        Span<byte> at = bytes;
        BinaryPrimitives.WriteUInt32LittleEndian(at, Magic);
        BinaryPrimitives.WriteUInt16LittleEndian(at[4..], Version);
        BinaryPrimitives.WriteUInt16LittleEndian(at[6..], checked((ushort)(bytes.Length - HeadBytes)));
        BinaryPrimitives.WriteUInt64LittleEndian(at[12..], Id.Value);
        BinaryPrimitives.WriteUInt64LittleEndian(at[20..], Incarnation);
        BinaryPrimitives.WriteUInt64LittleEndian(at[28..], ClusterId);
        BinaryPrimitives.WriteUInt64LittleEndian(at[36..], ConfigurationHash);
        at = WriteString(at[44..], name);
        BinaryPrimitives.WriteUInt64LittleEndian(WriteString(at, token), Origin);
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(8), SmallFile.Checksum(bytes));
        return bytes;
    }

    private static MemberIdentity Decode(string path, ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length < HeadBytes || BinaryPrimitives.ReadUInt32LittleEndian(bytes) != Magic)
            throw Damage(path, 0, "it is not an identity file");
        ushort version = BinaryPrimitives.ReadUInt16LittleEndian(bytes[4..]);
        int length = BinaryPrimitives.ReadUInt16LittleEndian(bytes[6..]);
        bool intact = bytes.Length == HeadBytes + length && BinaryPrimitives.ReadUInt32LittleEndian(bytes[8..]) == SmallFile.Checksum(bytes);

        // The checksum comes first: a flipped bit in the version is damage, not a newer format.
        if (!intact)
            throw Damage(path, 8, "its checksum does not match");
        if (version is not (Version or VersionWithoutOrigin))
        {
            throw new RaftException(RaftErrorCode.CannotOpen,
                $"{path} has format {version}; this version of Loom knows {VersionWithoutOrigin} and {Version}. Start the version of Loom that wrote it.");
        }

        try
        {
            ReadOnlySpan<byte> at = bytes[44..];
            string name = ReadString(ref at), token = ReadString(ref at);
            ulong origin = version == VersionWithoutOrigin ? 0 : BinaryPrimitives.ReadUInt64LittleEndian(at);
            if (version != VersionWithoutOrigin) at = at[8..];
            MemberIdentity identity = new(
                new MemberId(BinaryPrimitives.ReadUInt64LittleEndian(bytes[12..])), BinaryPrimitives.ReadUInt64LittleEndian(bytes[20..]), name, token,
                BinaryPrimitives.ReadUInt64LittleEndian(bytes[28..]), BinaryPrimitives.ReadUInt64LittleEndian(bytes[36..]), origin);
            return identity.Id.IsNone || !at.IsEmpty ? throw Damage(path, 12, "its fields contradict each other") : identity;
        }
        catch (ArgumentOutOfRangeException)
        {
            throw Damage(path, 44, "a text is longer than the file");
        }
    }

    private static CorruptionException Damage(string path, long offset, string what) => new(path, offset, what,
        "This directory cannot prove which member it was, so it must not vote: move it away and let the member join again with an empty one.");

    private static Span<byte> WriteString(Span<byte> at, byte[] text)
    {
        BinaryPrimitives.WriteUInt16LittleEndian(at, checked((ushort)text.Length));
        text.CopyTo(at[2..]);
        return at[(2 + text.Length)..];
    }

    private static string ReadString(ref ReadOnlySpan<byte> at)
    {
        int length = BinaryPrimitives.ReadUInt16LittleEndian(at);
        string text = Encoding.UTF8.GetString(at.Slice(2, length));
        at = at[(2 + length)..];
        return text;
    }
}
