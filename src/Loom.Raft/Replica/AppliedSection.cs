using System.Buffers.Binary;
using Loom.Raft.Sessions;

namespace Loom.Raft.Replica;

/// <summary>
/// What the applier keeps beside the machine's state, as the opaque section of a <see cref="StatePosition"/>: travels in checkpoints and snapshots.
/// <code>
/// u8 version = 1 | u128 apply hash (S5) | i64 cluster time (T5) | session table (SessionTableCodec), to the end
/// all integers little-endian
/// </code>
/// Whoever stores it checks its bytes; what is read here is checked for sense.
/// </summary>
internal static class AppliedSection
{
    private const byte Version = 1;
    private const int HeaderBytes = 1 + 16 + 8;

    public static byte[] Encode(UInt128 applyHash, long clusterTime, SessionTable sessions)
    {
        byte[] table = sessions.Serialize();
        var bytes = new byte[HeaderBytes + table.Length];
        bytes[0] = Version;
        BinaryPrimitives.WriteUInt128LittleEndian(bytes.AsSpan(1), applyHash);
        BinaryPrimitives.WriteInt64LittleEndian(bytes.AsSpan(17), clusterTime);
        table.CopyTo(bytes, HeaderBytes);
        return bytes;
    }

    /// <summary>Fills the session table and returns the rest.</summary>
    /// <exception cref="RaftException">Corruption or CannotOpen: not such a section, or one of a newer version (D9).</exception>
    public static (UInt128 ApplyHash, long ClusterTime) Decode(ReadOnlySpan<byte> bytes, SessionTable sessions)
    {
        if (bytes.Length < HeaderBytes)
        {
            throw Damaged($"it has {bytes.Length} bytes");
        }

        if (bytes[0] != Version)
        {
            throw new RaftException(
                RaftErrorCode.CannotOpen, $"the sessions beside the state are of format {bytes[0]}, this version of Loom knows {Version}: start the version that wrote them, or a newer one");
        }

        long clusterTime = BinaryPrimitives.ReadInt64LittleEndian(bytes[17..]);
        if (clusterTime < 0)
        {
            throw Damaged($"its cluster time is {clusterTime}");
        }

        try
        {
            sessions.Deserialize(bytes[HeaderBytes..]);
        }
        catch (FormatException error)
        {
            throw Damaged(error.Message);
        }

        return (BinaryPrimitives.ReadUInt128LittleEndian(bytes[1..]), clusterTime);
    }

    /// <summary>The cluster time alone, of a section that is whole.</summary>
    /// <exception cref="RaftException">As <see cref="Decode"/>.</exception>
    public static long ClusterTimeOf(ReadOnlySpan<byte> bytes) => Decode(bytes, new SessionTable()).ClusterTime;

    private static RaftException Damaged(string what) =>
        new(RaftErrorCode.Corruption, $"the sessions beside the state cannot be read: {what}. Let this member take its state from another one: move its data directory away and start it again");
}
