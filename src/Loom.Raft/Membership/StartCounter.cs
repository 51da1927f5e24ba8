using System.Buffers.Binary;
using Loom.Raft.Log;

namespace Loom.Raft.Membership;

/// <summary>
/// How often a formed member was started: the file DIRECTORY/starts, raised and flushed before the first hello of each process. Peers remember it, so an old copy of a directory is found out (E1).
/// <code>
/// u32 magic "LMST" | u16 version = 1 | u16 zero | u32 CRC-32C of all but itself | u64 member id | u64 incarnation | u64 starts
/// </code>
/// </summary>
internal static class StartCounter
{
    public const string FileName = "starts";
    private const uint Magic = 0x54534D4C; // "LMST"
    private const ushort Version = 1;
    private const int HeadBytes = 12;
    private const int Bytes = 36;

    /// <summary>Counts this start; durable on return. A missing file counts as none: then the peers know better.</summary>
    /// <exception cref="CorruptionException">The file is damaged, or is another directory's.</exception>
    /// <exception cref="RaftException">CannotOpen: another format.</exception>
    public static ulong Raise(IFileSystem files, string directory, MemberIdentity identity)
    {
        ulong starts = Read(files, directory, identity) + 1;
        byte[] bytes = new byte[Bytes];
        BinaryPrimitives.WriteUInt32LittleEndian(bytes, Magic);
        BinaryPrimitives.WriteUInt16LittleEndian(bytes.AsSpan(4), Version);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(12), identity.Id.Value);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(20), identity.Incarnation);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(28), starts);
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(8), SmallFile.Checksum(bytes));
        SmallFile.Replace(files, directory, FileName, bytes);
        SmallFile.Prepare(files, directory, FileName, Bytes);
        return starts;
    }

    /// <summary>The starts so far.</summary>
    /// <exception cref="CorruptionException">The file is damaged, or is another directory's.</exception>
    /// <exception cref="RaftException">CannotOpen: another format.</exception>
    public static ulong Read(IFileSystem files, string directory, MemberIdentity identity)
    {
        string path = $"{directory}/{FileName}";
        if (!files.FileExists(path)) return 0;
        using IFile file = files.Open(path, create: false);
        byte[] bytes = new byte[(int)Math.Min(file.Length, Bytes + 1)];
        ReadOnlySpan<byte> read = bytes.AsSpan(0, file.Read(0, bytes));
        // The checksum comes first: a flipped bit in the version is damage, not a newer format.
        if (read.Length < HeadBytes || BinaryPrimitives.ReadUInt32LittleEndian(read) != Magic || BinaryPrimitives.ReadUInt32LittleEndian(read[8..]) != SmallFile.Checksum(read))
            throw Damage(path, 0, "its checksum does not match");
        ushort version = BinaryPrimitives.ReadUInt16LittleEndian(read[4..]);
        if (version != Version)
            throw new RaftException(RaftErrorCode.CannotOpen, $"{path} has format {version}; this version of Loom knows {Version}. Start the version of Loom that wrote it.");
        if (read.Length != Bytes) throw Damage(path, HeadBytes, "it is not as long as it should be");
        if (BinaryPrimitives.ReadUInt64LittleEndian(read[12..]) != identity.Id.Value || BinaryPrimitives.ReadUInt64LittleEndian(read[20..]) != identity.Incarnation)
            throw Damage(path, 12, "it was written in another directory");
        return BinaryPrimitives.ReadUInt64LittleEndian(read[28..]);
    }

    private static CorruptionException Damage(string path, long offset, string what) => new(path, offset, what,
        "This directory cannot prove how old it is, so it must not vote: move it away and let the member join again with an empty one.");
}
