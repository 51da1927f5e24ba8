using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Loom.Raft.Log;

/// <summary>The few calls of libc that .NET does not offer, or offers without their errors; and how files for data are made.</summary>
internal static partial class Posix
{
    private const int Interrupted = 4;
    private const int WouldBlock = 11;
    private const int NoSpace = 28;
    private const int NoSuchCall = 38;
    private const int NotSupported = 95;
    private const int QuotaReached = 122;
    private const int KeepSize = 1;
    private const int ZeroRange = 0x10;
    private const int ReadOnly = 0;
    private const int ReadWrite = 2;
    private const int Create = 0x40;
    private const int DirectoryOnly = 0x10000;
    private const int CloseOnExec = 0x80000;
    private const int LockExclusiveNonBlocking = 2 | 4;
    private const int LockNone = 8;
    private const int DontNeed = 4;

    /// <summary>Whether an error of the file system says that there is no space. The HResult of what .NET throws is the number of the error.</summary>
    public static bool IsOutOfSpace(int errno) => errno is NoSpace or QuotaReached;

    /// <summary>For data: nobody but the user that the member runs as may look into it. One that exists keeps its mode, which is the operator's.</summary>
    public static void CreatePrivateDirectory(string path)
    {
        if (OperatingSystem.IsWindows())
        {
            Directory.CreateDirectory(path);
            return;
        }

        Directory.CreateDirectory(path, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
    }

    /// <summary>fallocate: takes the space of a part of a file, without writing it. False: this file system cannot.</summary>
    /// <param name="path">For the message.</param>
    /// <param name="handle">The file.</param>
    /// <param name="offset">From here on.</param>
    /// <param name="length">So many bytes.</param>
    /// <param name="keepsLength">The file does not get longer by it: what is taken beyond its end is only set aside.</param>
    /// <exception cref="NoSpaceException">There is not so much; a part may have been taken.</exception>
    public static bool TryAllocate(string path, SafeFileHandle handle, long offset, long length, bool keepsLength = false) =>
        TryAllocate(path, handle, keepsLength ? KeepSize : 0, offset, length);

    /// <summary>fallocate: makes a part of a file read as zeros without giving up its space, and without writing it. False: this file system cannot.</summary>
    /// <exception cref="NoSpaceException">Not even so much space is there as the change of the file's description takes.</exception>
    public static bool TryZero(string path, SafeFileHandle handle, long offset, long length) =>
        length == 0 || TryAllocate(path, handle, KeepSize | ZeroRange, offset, length);

    private static bool TryAllocate(string path, SafeFileHandle handle, int mode, long offset, long length)
    {
        while (FAllocate(handle, mode, offset, length) != 0)
        {
            int errno = Marshal.GetLastPInvokeError();
            if (errno is NotSupported or NoSuchCall)
                return false;
            if (IsOutOfSpace(errno))
                throw new NoSpaceException($"Cannot take {length} bytes for {path}: {Marshal.GetPInvokeErrorMessage(errno)} (errno {errno})");
            if (errno != Interrupted)
                throw Failure("allocate", path, errno);
        }

        return true;
    }

    /// <summary>fdatasync: the data, and as much of the metadata as reading it back needs (a changed length, not the times).</summary>
    public static void FlushData(string path, SafeFileHandle handle)
    {
        // EINTR alone is tried again: it says that the call did not happen. Any other error may already have dropped the dirty pages (L1).
        while (FDataSync(handle) != 0)
        {
            int errno = Marshal.GetLastPInvokeError();
            if (errno != Interrupted)
                throw Failure("flush", path, errno);
        }
    }

    /// <summary>Asks the kernel to forget what it keeps of a flushed file in memory, so that reading it back reads the disk. It may do it in part, or not at all.</summary>
    public static void ForgetCached(SafeFileHandle handle) => _ = FileAdvise(handle, 0, 0, DontNeed);

    public static void FlushDirectory(string path)
    {
        using SafeFileHandle directory = OpenFile("open directory", path, ReadOnly | DirectoryOnly | CloseOnExec, 0);
        while (FSync(directory) != 0)
        {
            int errno = Marshal.GetLastPInvokeError();
            if (errno != Interrupted)
                throw Failure("flush directory", path, errno);
        }
    }

    /// <summary>Opens (or makes) a lock file and takes its lock; null when another process holds it.</summary>
    public static SafeFileHandle? TryLock(string path) => TryLock(path, OpenFile("open lock file", path, ReadWrite | Create | CloseOnExec, 0x1A4 /* 0644 */));

    /// <summary>Takes the lock of a lock file that is there, without writing; null when another process holds it.</summary>
    public static SafeFileHandle? TryLockExisting(string path) => TryLock(path, OpenFile("open lock file", path, ReadOnly | CloseOnExec, 0));

    /// <summary>Gives a lock back and closes its file. Closing alone would leave the lock with a process that is being started at this moment: until it runs its program it has a copy of every descriptor.</summary>
    public static void Unlock(SafeFileHandle file)
    {
        if (!file.IsClosed) _ = FLock(file, LockNone);
        file.Dispose();
    }

    private static SafeFileHandle? TryLock(string path, SafeFileHandle file)
    {
        if (FLock(file, LockExclusiveNonBlocking) == 0)
            return file;
        int errno = Marshal.GetLastPInvokeError();
        file.Dispose();
        return errno == WouldBlock ? null : throw Failure("lock", path, errno);
    }

    private static SafeFileHandle OpenFile(string act, string path, int flags, int mode)
    {
        SafeFileHandle file = OpenPath(path, flags, mode);
        if (!file.IsInvalid)
            return file;
        int errno = Marshal.GetLastPInvokeError();
        file.Dispose();
        throw Failure(act, path, errno);
    }

    private static IOException Failure(string act, string path, int errno) =>
        new($"Cannot {act} {path}: {Marshal.GetPInvokeErrorMessage(errno)} (errno {errno})", errno);

    [LibraryImport("libc", EntryPoint = "fdatasync", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int FDataSync(SafeFileHandle file);

    [LibraryImport("libc", EntryPoint = "fallocate", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int FAllocate(SafeFileHandle file, int mode, long offset, long length);

    [LibraryImport("libc", EntryPoint = "fsync", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int FSync(SafeFileHandle file);

    [LibraryImport("libc", EntryPoint = "posix_fadvise")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int FileAdvise(SafeFileHandle file, long offset, long length, int advice);

    [LibraryImport("libc", EntryPoint = "flock", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int FLock(SafeFileHandle file, int operation);

    // open(2) is variadic; on x86-64 and arm64 Linux a third integer argument is passed like a fixed one.
    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial SafeFileHandle OpenPath(string path, int flags, int mode);
}
