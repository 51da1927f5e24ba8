using Loom.Raft.Diagnostics;
using Loom.Raft.Log;

namespace Loom.Raft.Membership;

/// <summary>The small files of a data directory: magic, version, and at byte 8 a CRC-32C of everything but itself.</summary>
internal static class SmallFile
{
    /// <summary>Over everything but its own place, bytes 8 to 11.</summary>
    public static uint Checksum(ReadOnlySpan<byte> bytes) => Crc32C.Continue(Crc32C.Continue(0, bytes[..8]), bytes[12..]);

    /// <summary>Replaces the whole file atomically; durable on return. A crash leaves the old one or the new one.</summary>
    public static void Replace(IFileSystem files, string directory, string name, byte[] bytes)
    {
        string path = $"{directory}/{name}", temporary = path + ".tmp";
        using (IFile file = files.Open(temporary, create: true))
        {
            file.Write(0, bytes);
            file.SetLength(bytes.Length);
            file.Flush();
        }

        files.Rename(temporary, path);
        files.FlushDirectory(directory);
    }

    /// <summary>
    /// Takes the space that the next replacement needs, where there is some: a member whose disk is full must still be able to start (S6). What a crash or a power cut leaves of it is overwritten.
    /// </summary>
    public static void Prepare(IFileSystem files, string directory, string name, int bytes)
    {
        try
        {
            using IFile file = files.Open($"{directory}/{name}.tmp", create: true);
            file.Allocate(bytes);
        }
        catch (NoSpaceException)
        {
            // Then the next one asks for it again.
        }
    }
}
