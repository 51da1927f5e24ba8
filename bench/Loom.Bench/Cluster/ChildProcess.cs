using System.Diagnostics;
using System.Globalization;

namespace Loom.Bench.Cluster;

/// <summary>A process of a peer: killed with the bench, its output kept in a file.</summary>
internal sealed class ChildProcess : IDisposable
{
    private static readonly double TicksPerSecond = 100.0;
    private readonly Process process;
    private readonly StreamWriter log;

    private ChildProcess(Process process, StreamWriter log)
    {
        this.process = process;
        this.log = log;
    }

    public int Id => process.Id;

    public bool HasExited => process.HasExited;

    public StreamWriter Input => process.StandardInput;

    /// <summary>Lines of standard output, for processes that are talked to.</summary>
    public StreamReader Output => process.StandardOutput;

    public static ChildProcess Start(string file, IEnumerable<string> arguments, string logFile, bool talk = false)
    {
        ProcessStartInfo info = new(file) { RedirectStandardError = true, RedirectStandardOutput = true, RedirectStandardInput = talk };
        foreach (string argument in arguments)
        {
            info.ArgumentList.Add(argument);
        }

        Process process = Process.Start(info) ?? throw new InvalidOperationException($"cannot start {file}");
        StreamWriter log = new(logFile, append: true) { AutoFlush = true };
        process.ErrorDataReceived += (_, e) => Write(log, e.Data);
        process.BeginErrorReadLine();
        if (!talk)
        {
            process.OutputDataReceived += (_, e) => Write(log, e.Data);
            process.BeginOutputReadLine();
        }

        return new ChildProcess(process, log);
    }

    /// <summary>This bench itself in another role.</summary>
    public static ChildProcess StartSelf(IEnumerable<string> arguments, string logFile)
    {
        string self = Environment.ProcessPath ?? "dotnet";
        return Path.GetFileNameWithoutExtension(self) == "dotnet"
            ? Start(self, [Path.Combine(AppContext.BaseDirectory, "Loom.Bench.dll"), .. arguments], logFile, talk: true)
            : Start(self, arguments, logFile, talk: true);
    }

    /// <summary>User and system time so far, all threads.</summary>
    public double CpuSeconds()
    {
        try
        {
            string stat = File.ReadAllText($"/proc/{process.Id}/stat");
            string[] fields = stat[(stat.LastIndexOf(')') + 2)..].Split(' ');
            return (long.Parse(fields[11], CultureInfo.InvariantCulture) + long.Parse(fields[12], CultureInfo.InvariantCulture)) / TicksPerSecond;
        }
        catch (IOException)
        {
            return 0;
        }
    }

    public long ResidentBytes()
    {
        foreach (string line in File.ReadLines($"/proc/{process.Id}/status"))
        {
            if (line.StartsWith("VmRSS:", StringComparison.Ordinal))
            {
                return long.Parse(line["VmRSS:".Length..].Replace("kB", "", StringComparison.Ordinal), CultureInfo.InvariantCulture) * 1024;
            }
        }

        return 0;
    }

    /// <summary>kill -9.</summary>
    public void Kill()
    {
        if (!process.HasExited)
        {
            process.Kill();
            process.WaitForExit(5000);
        }
    }

    public void Dispose()
    {
        Kill();
        process.Dispose();
        lock (log)
        {
            log.Dispose();
        }
    }

    private static void Write(StreamWriter log, string? line)
    {
        lock (log)
        {
            if (line is not null && log.BaseStream is { CanWrite: true })
            {
                log.WriteLine(line);
            }
        }
    }
}
