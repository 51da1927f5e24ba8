using System.Buffers.Binary;
using Loom.Raft.Consensus;
using Loom.Raft.Diagnostics;
using Loom.Raft.Membership;
using Loom.Raft.Replica;
using Loom.Raft.Transport;

namespace Loom.Raft.Snapshots;

/// <summary>
/// Bytes of a <see cref="SnapshotManifest"/>, the same on the wire and in a file. Everything is little-endian:
/// <code>
///  0 magic "LOOMSNAP" │ 8 u32 version = 1 │ 12 u32 length of what follows, without the checksum
/// 16 u64 id │ u64 cluster id │ u64 source member │ i64 source term │ i64 index │ i64 term │ i64 index of the configuration
///    u32 length, section │ u32 length, configuration (ConfigurationCodec) │ u32 length, header of the application
///    u32 crc32c of everything before
/// </code>
/// </summary>
internal static class SnapshotManifestCodec
{
    /// <summary>Largest manifest that is read. 4,096 sessions with 262,144 outcomes (P2) are about 12 MiB; the rest is room for the application's header.</summary>
    public const int MaxBytes = 32 * 1024 * 1024;

    private const int PrefixBytes = 16;
    private const uint Version = 1;

    private static ReadOnlySpan<byte> Magic => "LOOMSNAP"u8;

    /// <exception cref="InvalidOperationException">Larger than a reader would accept.</exception>
    public static byte[] Encode(SnapshotManifest manifest)
    {
        var writer = new WireWriter(1024 + manifest.At.Section.Length + manifest.Header.Length);
        writer.Bytes(Magic);
        writer.UInt32(Version);
        writer.UInt32(0);
        writer.UInt64(manifest.Id);
        writer.UInt64(manifest.ClusterId);
        writer.UInt64(manifest.Source.Value);
        writer.Int64(manifest.SourceTerm);
        writer.Int64(manifest.At.Index);
        writer.Int64(manifest.At.Term);
        writer.Int64(manifest.Configuration.Index);
        writer.Blob(manifest.At.Section.Span);
        writer.Blob(ConfigurationCodec.Encode(manifest.Configuration.Configuration));
        writer.Blob(manifest.Header.Span);
        BinaryPrimitives.WriteInt32LittleEndian(writer.Patch(12), writer.Length - PrefixBytes);
        writer.UInt32(~Crc32C.Append(Crc32C.Start, writer.Written));
        if (writer.Length > MaxBytes) throw new InvalidOperationException($"a manifest of {writer.Length} bytes, at most {MaxBytes} are read");
        return writer.Written.ToArray();
    }

    /// <summary>Nothing is allocated before the lengths and the checksum have been checked against what is there.</summary>
    /// <exception cref="InvalidDataException">Not a manifest, damaged, or of a version that this build does not know.</exception>
    public static SnapshotManifest Decode(ReadOnlySpan<byte> bytes)
    {
        ReadOnlySpan<byte> fields = Verified(bytes);
        try
        {
            return DecodeFields(fields);
        }
        catch (WireException e)
        {
            throw new InvalidDataException($"a snapshot's manifest is malformed: {e.Message}", e);
        }
    }

    /// <summary>It begins as a manifest of a version that this build does not know.</summary>
    public static bool IsOfOtherVersion(ReadOnlySpan<byte> bytes) => bytes.Length >= PrefixBytes && bytes.StartsWith(Magic) && BinaryPrimitives.ReadUInt32LittleEndian(bytes[8..]) != Version;

    private static ReadOnlySpan<byte> Verified(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length < PrefixBytes + 4 || !bytes.StartsWith(Magic)) throw new InvalidDataException("not the manifest of a Loom snapshot");
        uint version = BinaryPrimitives.ReadUInt32LittleEndian(bytes[8..]);
        if (version != Version) throw new InvalidDataException($"a snapshot of format {version}, this version of Loom reads {Version}; use a version that knows it");
        if (bytes.Length > MaxBytes) throw new InvalidDataException($"a snapshot's manifest of {bytes.Length} bytes, at most {MaxBytes} are allowed");
        uint length = BinaryPrimitives.ReadUInt32LittleEndian(bytes[12..]);
        if (length != bytes.Length - PrefixBytes - 4) throw new InvalidDataException($"a snapshot's manifest says {length} bytes and has {bytes.Length - PrefixBytes - 4}");
        uint found = ~Crc32C.Append(Crc32C.Start, bytes[..^4]);
        if (found != BinaryPrimitives.ReadUInt32LittleEndian(bytes[^4..])) throw new InvalidDataException("the checksum of a snapshot's manifest is wrong");
        return bytes[PrefixBytes..^4];
    }

    private static SnapshotManifest DecodeFields(ReadOnlySpan<byte> fields)
    {
        var reader = new WireReader(fields);
        ulong id = reader.UInt64();
        ulong cluster = reader.UInt64();
        var source = new MemberId(reader.UInt64());
        long sourceTerm = reader.Int64();
        long index = reader.Int64();
        long term = reader.Int64();
        long configurationIndex = reader.Int64();
        byte[] section = reader.Blob().ToArray();
        Configuration configuration = ConfigurationCodec.Decode(reader.Blob());
        byte[] header = reader.Blob().ToArray();
        reader.End();
        // A source that says otherwise breaks the order of terms or of indexes, whatever its checksum says.
        if (id == 0 || index < 1 || term < 0 || sourceTerm < term || configurationIndex < 0 || configurationIndex > index || configuration.Members.Count == 0)
        {
            throw new InvalidDataException(
                $"a snapshot's manifest contradicts itself: id {id}, entry {index} of term {term}, captured in term {sourceTerm}, configuration of entry {configurationIndex} with {configuration.Members.Count} members");
        }
        return new SnapshotManifest(id, cluster, source, sourceTerm, new StatePosition(index, term, section), new ConfigurationAt(configurationIndex, configuration), header);
    }
}
