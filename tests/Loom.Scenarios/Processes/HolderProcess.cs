using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;

namespace Loom.Scenarios.Processes;

/// <summary>A real process of <see cref="HolderProgram"/>.</summary>
internal sealed partial class HolderProcess(string name, string directory, int[] ports, int timeToLiveSeconds, bool isFenced) : IDisposable
{
    private const int Stop = 19;
    private const int Continue = 18;
    private readonly List<string> lines = [];
    private Process? process;

    public string Name => name;

    public IReadOnlyList<string> Lines
    {
        get
        {
            lock (lines)
            {
                return [.. lines];
            }
        }
    }

    public void Start()
    {
        process?.Dispose();
        ProcessStartInfo info = new("dotnet") { RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (string argument in (string[])[typeof(HolderProgram).Assembly.Location, "holder", name, directory, string.Join(',', ports), timeToLiveSeconds.ToString(CultureInfo.InvariantCulture), isFenced ? "fenced" : "plain"])
        {
            info.ArgumentList.Add(argument);
        }

        process = new Process { StartInfo = info };
        process.OutputDataReceived += (_, line) => Remember(line.Data);
        process.ErrorDataReceived += (_, line) => Remember(line.Data);
        process.Start();
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
    }

    public void Pause() => Signal(Stop);

    public void Resume() => Signal(Continue);

    public void Say(string command) => process!.StandardInput.WriteLine(command);

    /// <summary>The end of its input: it gives the lock back and closes its member.</summary>
    public async Task EndAsync()
    {
        process!.StandardInput.Close();
        await process.WaitForExitAsync().WaitAsync(TimeSpan.FromSeconds(20));
    }

    /// <summary>kill -9.</summary>
    public void Kill()
    {
        if (process is { HasExited: false } running)
        {
            running.Kill();
            running.WaitForExit(10_000);
        }
    }

    public void Dispose()
    {
        if (process is { HasExited: false })
        {
            Signal(Continue);
        }

        Kill();
        process?.Dispose();
    }

    private void Signal(int signal)
    {
        if (SendSignal(process!.Id, signal) != 0)
        {
            throw new InvalidOperationException($"kill({process.Id}, {signal}) failed");
        }
    }

    private void Remember(string? line)
    {
        if (line is not null)
        {
            lock (lines)
            {
                lines.Add(line);
            }
        }
    }

    [LibraryImport("libc", EntryPoint = "kill")]
    private static partial int SendSignal(int process, int signal);
}
