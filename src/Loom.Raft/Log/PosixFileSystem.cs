using Microsoft.Win32.SafeHandles;

namespace Loom.Raft.Log;

/// <summary>
/// The machine's own files. Flushing is our own fdatasync and fsync: in .NET 10.0.12 <c>RandomAccess.FlushToDisk</c> and <c>FileStream.Flush(true)</c> return
/// normally when fsync fails with EIO or ENOSPC, and a log that trusts them acknowledges writes that are nowhere (L1, docs/decisions/0003-durable-log.md).
/// </summary>
internal sealed class PosixFileSystem : IFileSystem
{
    public static readonly PosixFileSystem Instance = new();

    public bool FileExists(string path) => File.Exists(path);

    public void CreateDirectory(string path) => Checked("create directory", path, () => Posix.CreatePrivateDirectory(path));

    public IReadOnlyList<string> ListFiles(string directory)
    {
        string[] names = [];
        Checked("list", directory, () => names = Directory.Exists(directory) ? [.. Directory.GetFiles(directory).Select(path => Path.GetFileName(path))] : []);
        Array.Sort(names, StringComparer.Ordinal);
        return names;
    }

    public IFile Open(string path, bool create)
    {
        SafeFileHandle? handle = null;
        Checked("open", path, () => handle = File.OpenHandle(
            path, create ? FileMode.OpenOrCreate : FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite | FileShare.Delete));
        return new PosixFile(path, handle!);
    }

    public void Rename(string from, string to) => Checked("rename", from, () => File.Move(from, to, overwrite: true));

    public void Delete(string path) => Checked("delete", path, () => File.Delete(path));

    public void FlushDirectory(string path) => Posix.FlushDirectory(path);

    /// <summary>Turns what .NET throws for a refused operation into the one exception of the contract.</summary>
    private static void Checked(string act, string path, Action operation)
    {
        try
        {
            operation();
        }
        catch (Exception e) when (e is UnauthorizedAccessException or IOException or ArgumentException or NotSupportedException)
        {
            throw Failure($"Cannot {act} {path}: {e.Message}", e);
        }
    }

    private static IOException Failure(string message, Exception cause) => Posix.IsOutOfSpace(cause.HResult) ? new NoSpaceException(message, cause) : new IOException(message, cause);

    private sealed class PosixFile(string path, SafeFileHandle handle) : IFile
    {
        public long Length => RandomAccess.GetLength(handle);

        public int Read(long offset, Span<byte> buffer)
        {
            int total = 0;
            try
            {
                while (total < buffer.Length)
                {
                    int count = RandomAccess.Read(handle, buffer[total..], offset + total);
                    if (count == 0)
                        break;
                    total += count;
                }
            }
            catch (IOException e)
            {
                throw new IOException($"Cannot read {path} at {offset}: {e.Message}", e);
            }

            return total;
        }

        public void Write(long offset, ReadOnlySpan<byte> bytes)
        {
            try
            {
                RandomAccess.Write(handle, bytes, offset);
            }
            catch (IOException e)
            {
                throw Failure($"Cannot write {path} at {offset}: {e.Message}", e);
            }
        }

        public void SetLength(long length)
        {
            try
            {
                RandomAccess.SetLength(handle, length);
            }
            catch (IOException e)
            {
                throw Failure($"Cannot set the length of {path} to {length}: {e.Message}", e);
            }
        }

        public void Allocate(long length)
        {
            long before = Length;
            if (length <= before)
                return;
            try
            {
                if (!Posix.TryAllocate(path, handle, 0, length))
                {
                    // A file system without the call: taking the space means writing it.
                    for (long at = before; at < length; at += SegmentPool.Zeros.Length)
                        Write(at, SegmentPool.Zeros.AsSpan(0, (int)Math.Min(SegmentPool.Zeros.Length, length - at)));
                }
            }
            catch (NoSpaceException)
            {
                // Both ways may have taken a part of it.
                SetLength(before);
                throw;
            }
        }

        public void Flush() => Posix.FlushData(path, handle);

        public void Dispose() => handle.Dispose();
    }
}
