using System.ComponentModel;
using System.Runtime.InteropServices;

namespace Loom.Raft.Host;

/// <summary>
/// The only clock of a node: nanoseconds of CLOCK_BOOTTIME, which never steps and counts the time that the machine was suspended (T1).
/// Stopwatch and Environment.TickCount64 read CLOCK_MONOTONIC, which stands still in a suspended virtual machine: a leader woken there would believe
/// that its last confirmed round was a moment ago.
/// </summary>
internal static partial class MonotonicClock
{
    private const int ClockBootTime = 7;

    /// <summary>Nanoseconds since boot.</summary>
    public static long Nanoseconds
    {
        get
        {
            if (ClockGetTime(ClockBootTime, out TimeSpec now) != 0)
                throw new Win32Exception(Marshal.GetLastPInvokeError(), "clock_gettime(CLOCK_BOOTTIME) failed");
            return now.Seconds * 1_000_000_000 + now.Nanoseconds;
        }
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct TimeSpec
    {
        public long Seconds;
        public long Nanoseconds;
    }

    [LibraryImport("libc", EntryPoint = "clock_gettime", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int ClockGetTime(int clock, out TimeSpec now);
}
