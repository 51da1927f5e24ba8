using Microsoft.Win32.SafeHandles;

namespace Loom.Raft.Log;

/// <summary>
/// The machine's own files for whoever only looks at them: what would change one is refused, and a flush has nothing to do. A directory can be verified by a user who may not write it, and is
/// afterwards what it was before.
/// </summary>
internal sealed class ReadOnlyFileSystem : IFileSystem
{
    public static readonly ReadOnlyFileSystem Instance = new();

    public bool FileExists(string path) => PosixFileSystem.Instance.FileExists(path);

    public IReadOnlyList<string> ListFiles(string directory) => PosixFileSystem.Instance.ListFiles(directory);

    public IFile Open(string path, bool create)
    {
        if (create) throw Refused("create", path);
        try
        {
            return new ReadOnlyFile(path, File.OpenHandle(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete));
        }
        catch (Exception e) when (e is UnauthorizedAccessException or IOException)
        {
            throw new IOException($"Cannot open {path}: {e.Message}", e);
        }
    }

    public void CreateDirectory(string path) => throw Refused("create", path);

    public void Rename(string from, string to) => throw Refused("rename", from);

    public void Delete(string path) => throw Refused("delete", path);

    public void FlushDirectory(string path)
    {
    }

    private static InvalidOperationException Refused(string act, string path) => new($"{path} is only looked at: nothing may {act} it");

    private sealed class ReadOnlyFile(string path, SafeFileHandle handle) : IFile
    {
        public long Length => RandomAccess.GetLength(handle);

        public int Read(long offset, Span<byte> buffer)
        {
            int total = 0;
            try
            {
                for (int count = -1; total < buffer.Length && count != 0; total += count) count = RandomAccess.Read(handle, buffer[total..], offset + total);
            }
            catch (IOException e)
            {
                throw new IOException($"Cannot read {path} at {offset}: {e.Message}", e);
            }
            return total;
        }

        public void Write(long offset, ReadOnlySpan<byte> bytes) => throw Refused("write", path);

        public void SetLength(long length) => throw Refused("cut", path);

        public void Allocate(long length) => throw Refused("allocate", path);

        public void Flush()
        {
        }

        public void Dispose() => handle.Dispose();
    }
}
