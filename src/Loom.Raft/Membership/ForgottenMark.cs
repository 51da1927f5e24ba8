using System.Buffers.Binary;
using System.Text;
using Loom.Raft.Log;

namespace Loom.Raft.Membership;

/// <summary>
/// Written when a running member learns that its directory has forgotten what it promised (E1): the file DIRECTORY/forgotten. The next start does not take part with this directory any more.
/// <code>
/// u32 magic "LMFG" | u16 version = 1 | u16 length of the text | u32 CRC-32C of all but itself | text, UTF-8: who noticed what
/// </code>
/// </summary>
internal static class ForgottenMark
{
    public const string FileName = "forgotten";
    private const uint Magic = 0x47464D4C; // "LMFG"
    private const ushort Version = 1;
    private const int HeadBytes = 12;
    private const int MaxText = 4096;

    /// <summary>Durable on return.</summary>
    public static void Write(IFileSystem files, string directory, string what)
    {
        byte[] text = Encoding.UTF8.GetBytes(what);
        text = text.Length > MaxText ? text[..MaxText] : text;
        byte[] bytes = [.. new byte[HeadBytes], .. text];
        BinaryPrimitives.WriteUInt32LittleEndian(bytes, Magic);
        BinaryPrimitives.WriteUInt16LittleEndian(bytes.AsSpan(4), Version);
        BinaryPrimitives.WriteUInt16LittleEndian(bytes.AsSpan(6), (ushort)text.Length);
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(8), SmallFile.Checksum(bytes));
        SmallFile.Replace(files, directory, FileName, bytes);
    }

    /// <summary>Refuses a directory that has the mark, whether the mark is intact or not.</summary>
    /// <exception cref="CorruptionException">There is one.</exception>
    public static void RequireNone(IFileSystem files, string directory)
    {
        string path = $"{directory}/{FileName}";
        if (!files.FileExists(path)) return;
        using IFile file = files.Open(path, create: false);
        byte[] bytes = new byte[(int)Math.Min(file.Length, HeadBytes + MaxText)];
        ReadOnlySpan<byte> read = bytes.AsSpan(0, file.Read(0, bytes));
        bool intact = read.Length >= HeadBytes && BinaryPrimitives.ReadUInt32LittleEndian(read) == Magic
            && read.Length == HeadBytes + BinaryPrimitives.ReadUInt16LittleEndian(read[6..]) && BinaryPrimitives.ReadUInt32LittleEndian(read[8..]) == SmallFile.Checksum(read);
        throw OutOfDate(path, intact ? Encoding.UTF8.GetString(read[HeadBytes..]) : "it says that this directory is out of date, in words that are damaged");
    }

    /// <summary>What is wrong with a directory that has forgotten what it promised.</summary>
    public static CorruptionException OutOfDate(string path, string what) => new(path, 0, what,
        "This directory must not vote or count any more: move it away and let the member join again with an empty one.");
}
