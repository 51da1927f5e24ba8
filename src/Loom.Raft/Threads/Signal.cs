using System.Runtime.InteropServices;

namespace Loom.Raft.Threads;

/// <summary>
/// Wakes one sleeping thread: an auto-reset event with one waiter. Between a put and its answer lie about ten thread hops on the members' machines, so the wake-up
/// is a bare futex on Linux: its timeout is in nanoseconds (the test delays of the demo's WAN need better than a millisecond), and a set without a sleeper is one
/// interlocked exchange. Elsewhere a monitor does the same.
/// </summary>
internal sealed partial class Signal
{
    private const int Idle = 0;
    private const int IsSet = 1;
    private const int Sleeping = 2;

    private static readonly bool UseFutex = OperatingSystem.IsLinux() && FutexNumber() != 0;

    // Pinned for the life of the signal: the kernel is given its address.
    private readonly int[] state = GC.AllocateArray<int>(1, pinned: true);
    private readonly object monitor = new();

    /// <summary>Lets the waiter return, now or at its next wait. What was written before is visible to it.</summary>
    public void Set()
    {
        if (Interlocked.Exchange(ref state[0], IsSet) != Sleeping) return;
        if (UseFutex) Wake();
        else
        {
            lock (monitor) Monitor.Pulse(monitor);
        }
    }

    /// <summary>Waits until set, at most <paramref name="nanoseconds"/>; true if it was set. Only one thread may wait. May return false early.</summary>
    public bool Wait(long nanoseconds)
    {
        if (Interlocked.CompareExchange(ref state[0], Idle, IsSet) == IsSet) return true;
        if (nanoseconds <= 0) return false;
        if (UseFutex)
        {
            if (Interlocked.CompareExchange(ref state[0], Sleeping, Idle) == Idle) Sleep(nanoseconds);
        }
        else
        {
            lock (monitor)
            {
                if (Interlocked.CompareExchange(ref state[0], Sleeping, Idle) == Idle) Monitor.Wait(monitor, (int)Math.Min(int.MaxValue, nanoseconds / 1_000_000 + 1));
            }
        }
        return Interlocked.Exchange(ref state[0], Idle) == IsSet;
    }

    private unsafe void Sleep(long nanoseconds)
    {
        var timeout = new TimeSpec(nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000);
        fixed (int* address = state) _ = Futex(FutexNumber(), address, 0 | PrivateFutex, Sleeping, &timeout);
    }

    private unsafe void Wake()
    {
        fixed (int* address = state) _ = FutexWake(FutexNumber(), address, 1 | PrivateFutex, 1, null);
    }

    private const int PrivateFutex = 128;

    private static long FutexNumber() => RuntimeInformation.ProcessArchitecture switch
    {
        Architecture.X64 => 202,
        Architecture.Arm64 => 98,
        _ => 0,
    };

    private readonly struct TimeSpec(long seconds, long nanoseconds)
    {
        public readonly long Seconds = seconds;
        public readonly long Nanoseconds = nanoseconds;
    }

    [LibraryImport("libc", EntryPoint = "syscall")]
    private static unsafe partial long Futex(long number, int* address, int operation, int value, TimeSpec* timeout);

    // Never blocks, so the thread need not tell the garbage collector that it left.
    [LibraryImport("libc", EntryPoint = "syscall"), SuppressGCTransition]
    private static unsafe partial long FutexWake(long number, int* address, int operation, int value, TimeSpec* timeout);
}
