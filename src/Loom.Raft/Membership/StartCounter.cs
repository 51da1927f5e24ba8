using System.Buffers.Binary;
using Loom.Raft.Log;

namespace Loom.Raft.Membership;

/// <summary>
/// How often a formed member was started, and by which processes: the file DIRECTORY/starts, raised and flushed before the first hello of each process. Peers remember the last of them that they met, so an old
/// copy of a directory is found out (E1).
/// <code>
/// u32 magic "LMST" | u16 version = 2 | u16 zero | u32 CRC-32C of all but itself | u64 member id | u64 incarnation | u64 starts | 64 x u64 process of each of the last starts, the latest first; zero: none
/// </code>
/// </summary>
internal static class StartCounter
{
    public const string FileName = "starts";
    private const uint Magic = 0x54534D4C; // "LMST"
    private const ushort Version = 2;
    private const int HeadBytes = 12;
    private const int ProcessesAt = 36;
    private const int MaxProcesses = StartCount.MaxEarlier + 1;
    private const int Bytes = ProcessesAt + MaxProcesses * 8;

    /// <summary>Counts this start of <paramref name="process"/>, a random number and not zero; durable on return. A missing file counts as none: then the peers know better.</summary>
    /// <exception cref="CorruptionException">The file is damaged, or is another directory's.</exception>
    /// <exception cref="RaftException">CannotOpen: another format.</exception>
    public static StartCount Raise(IFileSystem files, string directory, MemberIdentity identity, ulong process)
    {
        (StartCount before, ulong last) = Read(files, directory, identity);
        StartCount now = before.Next(last);
        byte[] bytes = new byte[Bytes];
        BinaryPrimitives.WriteUInt32LittleEndian(bytes, Magic);
        BinaryPrimitives.WriteUInt16LittleEndian(bytes.AsSpan(4), Version);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(12), identity.Id.Value);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(20), identity.Incarnation);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(28), now.Starts);
        Span<byte> at = bytes.AsSpan(ProcessesAt);
        foreach (ulong one in now.Earlier.Prepend(process))
        {
            BinaryPrimitives.WriteUInt64LittleEndian(at, one);
            at = at[8..];
        }
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(8), SmallFile.Checksum(bytes));
        SmallFile.Replace(files, directory, FileName, bytes);
        SmallFile.Prepare(files, directory, FileName, Bytes);
        return now;
    }

    /// <summary>The starts so far, and the process of the last of them.</summary>
    /// <exception cref="CorruptionException">The file is damaged, or is another directory's.</exception>
    /// <exception cref="RaftException">CannotOpen: another format.</exception>
    public static (StartCount Starts, ulong Last) Read(IFileSystem files, string directory, MemberIdentity identity)
    {
        string path = $"{directory}/{FileName}";
        if (!files.FileExists(path)) return (StartCount.None, 0);
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
        ulong starts = BinaryPrimitives.ReadUInt64LittleEndian(read[28..]);
        if (starts == 0) throw Damage(path, 28, "it was written by a start and counts none");
        ulong[] processes = new ulong[(int)Math.Min(starts, MaxProcesses)];
        for (int i = 0; i < processes.Length; i++) processes[i] = BinaryPrimitives.ReadUInt64LittleEndian(read[(ProcessesAt + i * 8)..]);
        return (new StartCount(starts, processes[1..]), processes[0]);
    }

    private static CorruptionException Damage(string path, long offset, string what) => new(path, offset, what,
        "This directory cannot prove how old it is, so it must not vote: move it away and let the member join again with an empty one.");
}
