using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;

namespace Loom.Scenarios.Processes;

/// <summary>One real <c>loom serve</c>. Its standard input is held open, so that it ends with the test process whatever happens.</summary>
internal sealed partial class LoomProcess(string name, string datacenter, bool standby, int clientPort, int peerPort, string root) : IDisposable
{
    private const int Stop = 19;
    private const int Continue = 18;
    private const int Terminate = 15;
    private readonly List<string> output = [];
    private Process? process;

    public string Name => name;

    public string Datacenter => datacenter;

    public bool IsStandby => standby;

    public string Endpoint => string.Create(CultureInfo.InvariantCulture, $"http://127.0.0.1:{clientPort}");

    public string ClusterEntry => string.Create(CultureInfo.InvariantCulture, $"{name}@{datacenter}{(standby ? "/standby" : "")}=http://127.0.0.1:{peerPort}");

    public string DataDirectory => Path.Combine(root, name);

    /// <summary>Options beside those that every member has.</summary>
    public IReadOnlyList<string> Options { get; init; } = [];

    /// <summary>How often it was started.</summary>
    public int Life { get; private set; }

    public bool IsRunning => process is { HasExited: false };

    public int? ExitCode => process is { HasExited: true } ended ? ended.ExitCode : null;

    public void Start(string initialCluster)
    {
        process?.Dispose();
        Life++;
        ProcessStartInfo info = new("dotnet") { RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true };
        string peer = string.Create(CultureInfo.InvariantCulture, $"http://127.0.0.1:{peerPort}");
        foreach (string argument in (string[])
        [
            Path.Combine(AppContext.BaseDirectory, "loom.dll"), "serve", "--name", name, "--datacenter", datacenter, "--data-dir", DataDirectory,
            "--listen-client-urls", Endpoint, "--advertise-client-urls", Endpoint, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
            "--initial-cluster", initialCluster, "--initial-cluster-token", "scenarios", "--exit-with-stdin", .. Options,
        ])
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

    /// <summary>kill -9.</summary>
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
        Process running = process ?? throw new InvalidOperationException("not started");
        Signal(Terminate);
        await running.WaitForExitAsync().WaitAsync(TimeSpan.FromSeconds(15));
        return running.ExitCode;
    }

    public string Output()
    {
        lock (output)
        {
            return string.Join('\n', output.TakeLast(60));
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

    private void Signal(int signal)
    {
        if (process is { HasExited: false } running && SendSignal(running.Id, signal) != 0)
        {
            throw new InvalidOperationException($"kill({running.Id}, {signal}) failed");
        }
    }

    private void Remember(string? line)
    {
        if (line is not null)
        {
            lock (output)
            {
                output.Add(line);
            }
        }
    }

    [LibraryImport("libc", EntryPoint = "kill")]
    private static partial int SendSignal(int process, int signal);
}
