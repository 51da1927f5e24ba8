using System.Diagnostics;
using System.Globalization;

namespace Loom.Server.Metrics;

/// <summary>The process, under the names that every Prometheus client library uses.</summary>
internal static class ProcessMetrics
{
    public static void Write(PrometheusText text)
    {
        using var process = Process.GetCurrentProcess();
        text.Counter("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.", process.TotalProcessorTime.TotalSeconds);
        text.Gauge("process_resident_memory_bytes", "Resident memory size in bytes.", process.WorkingSet64);
        text.Gauge("process_virtual_memory_bytes", "Virtual memory size in bytes.", process.VirtualMemorySize64);
        text.Gauge("process_start_time_seconds", "Start time of the process since unix epoch in seconds.", new DateTimeOffset(process.StartTime).ToUnixTimeMilliseconds() / 1e3);
        text.Gauge("process_threads", "Threads of the process.", process.Threads.Count);
        text.Gauge("dotnet_gc_heap_bytes", "Managed memory in use.", GC.GetTotalMemory(forceFullCollection: false));
        text.Counter("dotnet_gc_pause_seconds_total", "Time for which garbage collections paused the process.", GC.GetTotalPauseDuration().TotalSeconds);
        if (OperatingSystem.IsLinux())
        {
            text.Gauge("process_open_fds", "Number of open file descriptors.", Directory.EnumerateFileSystemEntries("/proc/self/fd").Count());
            text.Gauge("process_max_fds", "Maximum number of open file descriptors.", MaxFileDescriptors());
        }
    }

    private static double MaxFileDescriptors()
    {
        string? line = File.ReadLines("/proc/self/limits").FirstOrDefault(one => one.StartsWith("Max open files", StringComparison.Ordinal));
        string[] words = line?.Split(' ', StringSplitOptions.RemoveEmptyEntries) ?? [];
        return words.Length > 3 && double.TryParse(words[3], NumberStyles.None, CultureInfo.InvariantCulture, out double most) ? most : 0;
    }
}
