using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Loom.Store.Records;

/// <summary>
/// Reads that the kernel can answer from its page cache, without waiting for a disk: then the caller reads by itself, which costs a tenth of asking another thread to.
/// </summary>
internal static partial class CachedRead
{
    private const int NoWait = 8;

    // Not a kernel or a file system that knows: then every read goes to the threads, as it would without this.
    private static bool unsupported = !OperatingSystem.IsLinux();

    /// <summary>False: not all of it is in memory, or nobody can tell; nothing is known of the target then.</summary>
    public static unsafe bool TryRead(SafeFileHandle file, long at, IntPtr target, int length)
    {
        if (unsupported)
        {
            return false;
        }

        Vector vector = new() { Base = target, Length = (nuint)length };
        nint got = ReadVector(file, &vector, 1, at, NoWait);
        if (got >= 0)
        {
            return got == length;
        }

        const int NotSupported = 95, NoSuchCall = 38, Invalid = 22;
        unsupported = Marshal.GetLastPInvokeError() is NotSupported or NoSuchCall or Invalid;
        return false;
    }

    private struct Vector
    {
        public IntPtr Base;
        public nuint Length;
    }

    [LibraryImport("libc", EntryPoint = "preadv2", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static unsafe partial nint ReadVector(SafeFileHandle file, Vector* vectors, int count, long offset, int flags);
}
