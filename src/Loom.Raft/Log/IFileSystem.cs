namespace Loom.Raft.Log;

/// <summary>
/// The blocking file operations that the log needs, so that the simulator can put a disk that loses and tears unsynced writes under the real log code (T2).
/// Every failure is an <see cref="IOException"/>, one of space a <see cref="NoSpaceException"/> (but of a flush never); paths use '/' and are absolute or relative to the data directory as the caller chooses.
/// </summary>
internal interface IFileSystem
{
    bool FileExists(string path);

    /// <summary>Creates the directory and its parents; the caller flushes the parent.</summary>
    void CreateDirectory(string path);

    /// <summary>Names (not paths) of the files in a directory, sorted ordinally; empty when the directory is absent.</summary>
    IReadOnlyList<string> ListFiles(string directory);

    /// <summary>Opens for reading and writing; with <paramref name="create"/> a missing file is made, else it is an error.</summary>
    IFile Open(string path, bool create);

    /// <summary>Atomic replacement, visible at once, durable after <see cref="FlushDirectory"/>.</summary>
    void Rename(string from, string to);

    void Delete(string path);

    /// <summary>fsync of the directory: makes creations, renames and deletions in it durable (L5).</summary>
    void FlushDirectory(string path);
}

internal interface IFile : IDisposable
{
    long Length { get; }

    /// <summary>Bytes read; fewer than asked only at the end of the file.</summary>
    int Read(long offset, Span<byte> buffer);

    void Write(long offset, ReadOnlySpan<byte> bytes);

    void SetLength(long length);

    /// <summary>Makes the file this long, if it is shorter, and takes the space for all of it: writing up to there then needs none.</summary>
    /// <exception cref="NoSpaceException">There is not so much; the file is as long as before.</exception>
    void Allocate(long length);

    /// <summary>fdatasync by P/Invoke (L1): .NET 10's own flush hides errors. Throws on any error; the caller must not try again.</summary>
    void Flush();
}
