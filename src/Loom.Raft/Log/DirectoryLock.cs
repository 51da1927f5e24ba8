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

    /// <summary>Makes the directory where it is missing, durably, and locks it.</summary>
    /// <exception cref="RaftException">CannotOpen: another process holds it, or it cannot be made or written.</exception>
    public static DirectoryLock Acquire(string directory)
    {
        try
        {
            Make(Path.GetFullPath(directory));
            SafeFileHandle? handle = Posix.TryLock(Path.Combine(directory, "lock"));
            return handle is not null ? new DirectoryLock(handle) : throw InUse(directory);
        }
        catch (IOException e)
        {
            throw new RaftException(RaftErrorCode.CannotOpen,
                $"The data directory {directory} cannot be used: {e.Message}. Check that it can be written by this user.", inner: e);
        }
    }

    /// <summary>
    /// Locks a directory that is only looked at; nothing is written. Null: nobody has locked it yet, so no member ever ran in it.
    /// </summary>
    /// <exception cref="RaftException">CannotOpen: another process holds it, or it cannot be read.</exception>
    public static DirectoryLock? AcquireExisting(string directory)
    {
        string path = Path.Combine(directory, "lock");
        if (!File.Exists(path)) return null;
        try
        {
            return new DirectoryLock(Posix.TryLockExisting(path) ?? throw InUse(directory));
        }
        catch (IOException e)
        {
            throw new RaftException(RaftErrorCode.CannotOpen, $"The data directory {directory} cannot be read: {e.Message}. Look at it as the user that the member runs as.", inner: e);
        }
    }

    private static RaftException InUse(string directory) => new(RaftErrorCode.CannotOpen,
        $"The data directory {directory} is already in use by another process. Stop that process, or choose another directory.");

    /// <summary>
    /// A directory whose name a power cut may take away is an emptied one (E1): every parent of what was made is flushed before anything is written inside.
    /// One that is there already is the operator's, or was made by a start that was cut off before it locked it; then its parent is flushed where that is allowed.
    /// </summary>
    private static void Make(string directory)
    {
        List<string> made = [];
        for (string? at = Path.TrimEndingDirectorySeparator(directory); at is not null && !Directory.Exists(at); at = Path.GetDirectoryName(at)) made.Add(at);
        PosixFileSystem.Instance.CreateDirectory(directory);
        foreach (string path in made)
        {
            if (Path.GetDirectoryName(path) is { } parent) PosixFileSystem.Instance.FlushDirectory(parent);
        }
        if (made.Count > 0 || File.Exists(Path.Combine(directory, "lock")) || Path.GetDirectoryName(Path.TrimEndingDirectorySeparator(directory)) is not { } above) return;
        try
        {
            PosixFileSystem.Instance.FlushDirectory(above);
        }
        catch (IOException)
        {
            // Often a parent that only root may open, such as a mount point's: whoever made the directory there answers for it.
        }
    }

    public void Dispose() => Posix.Unlock(handle);
}
