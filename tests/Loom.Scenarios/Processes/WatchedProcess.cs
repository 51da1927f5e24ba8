using System.Diagnostics;
using System.Runtime.InteropServices;

namespace Loom.Scenarios.Processes;

/// <summary>A real program that is started, killed and started again, stopped and woken; what it says in all its lives is kept. It ends with its owner, stopped or not.</summary>
internal sealed partial class WatchedProcess : IDisposable
{
    private const int Stop = 19;
    private const int Continue = 18;
    private const int Terminate = 15;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    private readonly List<string> lines = [];
    private Process? process;

    public bool IsRunning => process is { HasExited: false };

    public int? ExitCode => process is { HasExited: true } ended ? ended.ExitCode : null;

    /// <summary>What it said, outputs and errors as they came.</summary>
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

    /// <summary>The last of what it said.</summary>
    public string Tail(int count)
    {
        lock (lines)
        {
            return string.Join('\n', lines.TakeLast(count));
        }
    }

    public void Start(string program, params IEnumerable<string> arguments) => Start(new ProcessStartInfo(program, arguments));

    public void Start(ProcessStartInfo info)
    {
        process?.Dispose();
        info.RedirectStandardInput = info.RedirectStandardOutput = info.RedirectStandardError = true;
        process = new Process { StartInfo = info };
        process.OutputDataReceived += (_, line) => Note(line.Data);
        process.ErrorDataReceived += (_, line) => Note(line.Data);
        process.Start();
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
    }

    /// <summary>kill -9. With a limit: without one it waits for the end of the output too, which a child may have inherited.</summary>
    public void Kill()
    {
        if (process is { HasExited: false } running)
        {
            running.Kill();
            running.WaitForExit(10_000);
        }
    }

    public void Pause() => Signal(Stop);

    public void Resume() => Signal(Continue);

    /// <summary>SIGTERM, then the exit code.</summary>
    public async Task<int> TerminateAsync()
    {
        Signal(Terminate);
        return await EndedAsync();
    }

    public void Say(string line) => Running().StandardInput.WriteLine(line);

    /// <summary>The end of its input, then the exit code.</summary>
    public async Task<int> EndInputAsync()
    {
        Running().StandardInput.Close();
        return await EndedAsync();
    }

    /// <summary>Keeps something beside what it says.</summary>
    public void Note(string? line)
    {
        if (line is not null)
        {
            lock (lines)
            {
                lines.Add(line);
            }
        }
    }

    public void Dispose()
    {
        if (IsRunning)
        {
            Signal(Continue);
        }

        Kill();
        process?.Dispose();
    }

    private Process Running() => process ?? throw new InvalidOperationException("not started");

    private async Task<int> EndedAsync()
    {
        await Running().WaitForExitAsync().WaitAsync(Patience);
        return Running().ExitCode;
    }

    private void Signal(int signal)
    {
        if (process is { HasExited: false } running && SendSignal(running.Id, signal) != 0)
        {
            throw new InvalidOperationException($"kill({running.Id}, {signal}) failed");
        }
    }

    [LibraryImport("libc", EntryPoint = "kill")]
    private static partial int SendSignal(int process, int signal);
}
