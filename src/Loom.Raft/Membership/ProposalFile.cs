using System.Buffers.Binary;
using Loom.Raft.Log;

namespace Loom.Raft.Membership;

/// <summary>
/// The initial configuration that this directory has agreed to and may have told its peers (E1, N5): the file DIRECTORY/proposal. Replaced by proposals with smaller cluster ids only, and of no
/// meaning once the identity says that the cluster is formed.
/// <code>
/// u32 magic "LMPR" | u16 version = 1 | u16 zero | u32 CRC-32C of all but itself | u64 cluster id that it would form | bytes of ConfigurationCodec
/// </code>
/// </summary>
internal static class ProposalFile
{
    public const string FileName = "proposal";
    private const uint Magic = 0x52504D4C; // "LMPR"
    private const ushort Version = 1;
    private const int HeadBytes = 20;
    private const int MaxBytes = 1024 * 1024;

    /// <summary>The proposal in a data directory, or null in one that never made any.</summary>
    /// <exception cref="CorruptionException">The file is damaged, or is another directory's.</exception>
    /// <exception cref="RaftException">CannotOpen: another format.</exception>
    public static Configuration? Read(IFileSystem files, string directory, MemberIdentity identity)
    {
        string path = $"{directory}/{FileName}";
        if (!files.FileExists(path)) return null;
        using IFile file = files.Open(path, create: false);
        byte[] bytes = new byte[(int)Math.Min(file.Length, MaxBytes)];
        return Decode(path, bytes.AsSpan(0, file.Read(0, bytes)), identity);
    }

    /// <summary>Durable on return. A crash leaves the old one or the new one.</summary>
    public static void Write(IFileSystem files, string directory, MemberIdentity identity, Configuration proposal)
    {
        byte[] bytes = [.. new byte[HeadBytes], .. ConfigurationCodec.Encode(proposal)];
        BinaryPrimitives.WriteUInt32LittleEndian(bytes, Magic);
        BinaryPrimitives.WriteUInt16LittleEndian(bytes.AsSpan(4), Version);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(12), InitialConfiguration.ClusterId(proposal, identity.Token, identity.Origin));
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(8), SmallFile.Checksum(bytes));
        SmallFile.Replace(files, directory, FileName, bytes);
    }

    private static Configuration Decode(string path, ReadOnlySpan<byte> bytes, MemberIdentity identity)
    {
        if (bytes.Length < HeadBytes || BinaryPrimitives.ReadUInt32LittleEndian(bytes) != Magic) throw Damage(path, 0, "it is not a proposal file");
        // The checksum comes first: a flipped bit in the version is damage, not a newer format.
        if (BinaryPrimitives.ReadUInt32LittleEndian(bytes[8..]) != SmallFile.Checksum(bytes)) throw Damage(path, 8, "its checksum does not match");
        ushort version = BinaryPrimitives.ReadUInt16LittleEndian(bytes[4..]);
        if (version != Version)
            throw new RaftException(RaftErrorCode.CannotOpen, $"{path} has format {version}; this version of Loom knows {Version}. Start the version of Loom that wrote it.");
        try
        {
            Configuration proposal = ConfigurationCodec.Decode(bytes[HeadBytes..]);
            bool ours = proposal.Find(identity.Id)?.Incarnation == identity.Incarnation
                && InitialConfiguration.ClusterId(proposal, identity.Token, identity.Origin) == BinaryPrimitives.ReadUInt64LittleEndian(bytes[12..]);
            return ours ? proposal : throw Damage(path, 12, "it was made in another directory");
        }
        catch (InvalidDataException e)
        {
            throw Damage(path, HeadBytes, e.Message);
        }
    }

    private static CorruptionException Damage(string path, long offset, string what) => new(path, offset, what,
        "This directory cannot prove what it has agreed to, so it must not vote: move it away and let the member join again with an empty one.");
}
