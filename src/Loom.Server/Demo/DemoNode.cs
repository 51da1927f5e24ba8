using System.Diagnostics;
using System.Globalization;

namespace Loom.Server.Demo;

/// <summary>One <c>loom serve</c> process of the demo. It ends when its standard input closes, so it never outlives the demo, however the demo ends.</summary>
internal sealed class DemoNode(string name, string datacenter, bool standby, int clientPort, int peerPort, string directory) : IDisposable
{
    private const int LastLines = 20;
    private readonly Queue<string> output = new();
    private readonly Lock gate = new();

    // Only ever a process that was started; looked at by pollers while keys and the script start and kill.
    private Process? process;

    public string Name => name;

    public string Datacenter => datacenter;

    public bool IsStandby => standby;

    public string Endpoint => string.Create(CultureInfo.InvariantCulture, $"http://127.0.0.1:{clientPort}");

    public string PeerUrl => string.Create(CultureInfo.InvariantCulture, $"http://127.0.0.1:{peerPort}");

    /// <summary>How this member is written in --initial-cluster.</summary>
    public string ClusterEntry => $"{name}@{datacenter}{(standby ? "/standby" : "")}={PeerUrl}";

    public bool IsRunning
    {
        get
        {
            lock (gate)
            {
                return process is { HasExited: false };
            }
        }
    }

    public void Start(string initialCluster, string? peerDelay)
    {
        List<string> arguments =
        [
            "serve", "--name", name, "--datacenter", datacenter, "--data-dir", Path.Combine(directory, name),
            "--listen-client-urls", Endpoint, "--advertise-client-urls", Endpoint, "--listen-peer-urls", PeerUrl, "--initial-advertise-peer-urls", PeerUrl,
            "--initial-cluster", initialCluster, "--initial-cluster-token", "loom-demo", "--exit-with-stdin",
        ];
        if (peerDelay is not null)
        {
            arguments.AddRange(["--test-peer-delay", peerDelay]);
        }

        Process next = new() { StartInfo = StartInfo(arguments) };
        next.OutputDataReceived += (_, line) => Remember(line.Data);
        next.ErrorDataReceived += (_, line) => Remember(line.Data);
        lock (gate)
        {
            if (process is { HasExited: false })
            {
                next.Dispose();
                return;
            }

            next.Start();
            process?.Dispose();
            process = next;
        }

        next.BeginOutputReadLine();
        next.BeginErrorReadLine();
    }

    /// <summary>kill -9: no goodbye, no flush.</summary>
    public void Kill()
    {
        lock (gate)
        {
            if (process is { HasExited: false } running)
            {
                running.Kill();
                running.WaitForExit(5000);
            }
        }
    }

    /// <summary>The last lines that the process wrote, for an error message.</summary>
    public string LastOutput()
    {
        lock (output)
        {
            return string.Join(Environment.NewLine, output);
        }
    }

    public void Dispose()
    {
        Kill();
        process?.Dispose();
    }

    /// <summary>The same program again: the published executable, or <c>dotnet loom.dll</c> when it was started that way.</summary>
    private static ProcessStartInfo StartInfo(List<string> arguments)
    {
        string self = Environment.ProcessPath ?? "dotnet";
        bool host = Path.GetFileNameWithoutExtension(self) == "dotnet";
        ProcessStartInfo info = new(self) { RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true };
        // Killed as they are, they would leave the runtime's diagnostic sockets behind in /tmp.
        info.Environment["DOTNET_EnableDiagnostics"] = "0";
        if (host)
        {
            info.ArgumentList.Add(Path.Combine(AppContext.BaseDirectory, "loom.dll"));
        }

        foreach (string argument in arguments)
        {
            info.ArgumentList.Add(argument);
        }

        return info;
    }

    private void Remember(string? line)
    {
        if (line is null)
        {
            return;
        }

        lock (output)
        {
            output.Enqueue(line);
            if (output.Count > LastLines)
            {
                output.Dequeue();
            }
        }
    }
}
