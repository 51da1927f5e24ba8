using Microsoft.Win32.SafeHandles;

namespace Loom.Raft.Log;

/// <summary>
/// <c>flock</c> on DIRECTORY/lock for the life of the process (E1): two processes on one directory would be one member voting twice.
/// The kernel drops it however the process ends, so a stale lock cannot exist; the file itself stays.
/// </summary>
internal sealed class DirectoryLock : IDisposable
{
    private readonly SafeFileHandle handle;

    private DirectoryLock(SafeFileHandle handle) => this.handle = handle;

    /// <summary>Makes the directory where it is missing, and locks it.</summary>
    /// <exception cref="RaftException">CannotOpen: another process holds it, or it cannot be made or written.</exception>
    public static DirectoryLock Acquire(string directory)
    {
        try
        {
            PosixFileSystem.Instance.CreateDirectory(directory);
            SafeFileHandle? handle = Posix.TryLock(Path.Combine(directory, "lock"));
            return handle is not null
                ? new DirectoryLock(handle)
                : throw new RaftException(RaftErrorCode.CannotOpen,
                    $"The data directory {directory} is already in use by another process. Stop that process, or choose another directory.");
        }
        catch (IOException e)
        {
            throw new RaftException(RaftErrorCode.CannotOpen,
                $"The data directory {directory} cannot be used: {e.Message}. Check that it can be written by this user.", inner: e);
        }
    }

    public void Dispose() => handle.Dispose();
}
