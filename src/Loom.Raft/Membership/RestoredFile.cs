using System.Buffers.Binary;
using System.IO.Hashing;
using Loom.Raft.Consensus;
using Loom.Raft.Log;

namespace Loom.Raft.Membership;

/// <summary>
/// What a directory was restored from, and the cluster that it is to form: the file DIRECTORY/restored. Written first, as unfinished, and once more when everything else is there.
/// <code>
/// u32 magic "LMRS" | u16 version = 1 | u16 state (1: unfinished, 2: whole) | u32 CRC-32C of all but itself
/// u64 member id | u64 incarnation | 32 bytes SHA-256 of the backup | i64 variant | i64 index | i64 term | i64 cluster time | bytes of ConfigurationCodec: the members as listed
/// all integers little-endian
/// </code>
/// </summary>
/// <param name="Member">Whose directory it is.</param>
/// <param name="Incarnation">And which of them.</param>
/// <param name="Hash">Of the backup.</param>
/// <param name="Variant">What else the state depends on: the application's.</param>
/// <param name="Start">The last entry that is in the state: the log begins behind it.</param>
/// <param name="List">The members as listed; pins nobody.</param>
internal sealed record RestoredFile(MemberId Member, ulong Incarnation, ReadOnlyMemory<byte> Hash, long Variant, LogStart Start, Configuration List)
{
    public const string FileName = "restored";
    public const int HashBytes = 32;
    private const uint Magic = 0x53524D4C; // "LMRS"
    private const ushort Version = 1;
    private const ushort Unfinished = 1;
    private const ushort Whole = 2;
    private const int HeadBytes = 12;
    private const int FixedBytes = HeadBytes + 16 + HashBytes + 32;
    private const int MaxBytes = 1024 * 1024;

    /// <summary>A number for the state that all members must have been restored to; never zero.</summary>
    public ulong Origin
    {
        get
        {
            Span<byte> bytes = stackalloc byte[HashBytes + 8];
            Hash.Span.CopyTo(bytes);
            BinaryPrimitives.WriteInt64LittleEndian(bytes[HashBytes..], Variant);
            ulong hash = XxHash64.HashToUInt64(bytes);
            return hash == 0 ? 1 : hash;
        }
    }

    /// <summary>The file of a directory, or null in one that was not restored.</summary>
    /// <exception cref="RaftException">CannotOpen: the restore did not finish, or another format.</exception>
    /// <exception cref="CorruptionException">The file is damaged.</exception>
    public static RestoredFile? Read(IFileSystem files, string directory)
    {
        string path = $"{directory}/{FileName}";
        if (!files.FileExists(path)) return null;
        using IFile file = files.Open(path, create: false);
        byte[] bytes = new byte[(int)Math.Min(file.Length, MaxBytes)];
        return Decode(path, bytes.AsSpan(0, file.Read(0, bytes)));
    }

    /// <summary>The file of a directory that is not formed, which must be whole and its own.</summary>
    /// <exception cref="RaftException">It is missing, damaged, unfinished, or another directory's.</exception>
    public static RestoredFile? Require(IFileSystem files, string directory, MemberIdentity? identity)
    {
        string path = $"{directory}/{FileName}";
        RestoredFile? restored = Read(files, directory);
        if (identity is null) return restored is null ? null : throw Incomplete(directory);
        if (restored is null) return identity.Origin == 0 ? null : throw Damage(path, 0, "it is missing");
        bool ours = restored.Origin == identity.Origin && restored.Member == identity.Id && restored.Incarnation == identity.Incarnation;
        return ours ? restored : throw Damage(path, HeadBytes, "it was made in another directory");
    }

    /// <summary>Durable on return. A crash leaves the old one or the new one.</summary>
    public void Write(IFileSystem files, string directory, bool whole)
    {
        byte[] bytes = [.. new byte[FixedBytes], .. ConfigurationCodec.Encode(List)];
        Span<byte> at = bytes;
        BinaryPrimitives.WriteUInt32LittleEndian(at, Magic);
        BinaryPrimitives.WriteUInt16LittleEndian(at[4..], Version);
        BinaryPrimitives.WriteUInt16LittleEndian(at[6..], whole ? Whole : Unfinished);
        at = at[HeadBytes..];
        BinaryPrimitives.WriteUInt64LittleEndian(at, Member.Value);
        BinaryPrimitives.WriteUInt64LittleEndian(at[8..], Incarnation);
        Hash.Span.CopyTo(at[16..]);
        at = at[(16 + HashBytes)..];
        BinaryPrimitives.WriteInt64LittleEndian(at, Variant);
        BinaryPrimitives.WriteInt64LittleEndian(at[8..], Start.Index);
        BinaryPrimitives.WriteInt64LittleEndian(at[16..], Start.Term);
        BinaryPrimitives.WriteInt64LittleEndian(at[24..], Start.ClusterTime);
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(8), SmallFile.Checksum(bytes));
        SmallFile.Replace(files, directory, FileName, bytes);
    }

    private static RestoredFile Decode(string path, ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length < FixedBytes || BinaryPrimitives.ReadUInt32LittleEndian(bytes) != Magic) throw Damage(path, 0, "it does not say what was restored");
        // The checksum comes first: a flipped bit in the version is damage, not a newer format.
        if (BinaryPrimitives.ReadUInt32LittleEndian(bytes[8..]) != SmallFile.Checksum(bytes)) throw Damage(path, 8, "its checksum does not match");
        ushort version = BinaryPrimitives.ReadUInt16LittleEndian(bytes[4..]);
        if (version != Version)
            throw new RaftException(RaftErrorCode.CannotOpen, $"{path} has format {version}; this version of Loom knows {Version}. Start the version of Loom that wrote it.");
        if (BinaryPrimitives.ReadUInt16LittleEndian(bytes[6..]) != Whole) throw Incomplete(path[..path.LastIndexOf('/')]);
        ReadOnlySpan<byte> at = bytes[HeadBytes..];
        try
        {
            return new RestoredFile(
                new MemberId(BinaryPrimitives.ReadUInt64LittleEndian(at)), BinaryPrimitives.ReadUInt64LittleEndian(at[8..]), at.Slice(16, HashBytes).ToArray(),
                BinaryPrimitives.ReadInt64LittleEndian(at[48..]),
                new LogStart(BinaryPrimitives.ReadInt64LittleEndian(at[56..]), BinaryPrimitives.ReadInt64LittleEndian(at[64..]), BinaryPrimitives.ReadInt64LittleEndian(at[72..])),
                ConfigurationCodec.Decode(bytes[FixedBytes..]));
        }
        catch (InvalidDataException e)
        {
            throw Damage(path, FixedBytes, e.Message);
        }
    }

    private static RaftException Incomplete(string directory) => new(RaftErrorCode.CannotOpen,
        $"The restore into {directory} did not finish, so what is there is not the state of the backup. Remove what is in the directory, and restore it again.");

    private static CorruptionException Damage(string path, long offset, string what) => new(path, offset, what,
        "This directory cannot say what it was restored from: remove what is in it, and restore it again.");
}
