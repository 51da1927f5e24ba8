using System.Globalization;

namespace Loom.Scenarios.Processes;

/// <summary>One real <c>loom serve</c>. Its standard input is held open, so that it ends with the test process whatever happens.</summary>
internal sealed class LoomProcess(string name, string datacenter, bool standby, int clientPort, int peerPort, string root) : IDisposable
{
    private readonly WatchedProcess process = new();

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

    public bool IsRunning => process.IsRunning;

    public int? ExitCode => process.ExitCode;

    public void Start(string initialCluster)
    {
        Life++;
        string peer = string.Create(CultureInfo.InvariantCulture, $"http://127.0.0.1:{peerPort}");
        process.Start(
            "dotnet",
            [
                Path.Combine(AppContext.BaseDirectory, "loom.dll"), "serve", "--name", name, "--datacenter", datacenter, "--data-dir", DataDirectory,
                "--listen-client-urls", Endpoint, "--advertise-client-urls", Endpoint, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
                "--initial-cluster", initialCluster, "--initial-cluster-token", "scenarios", "--exit-with-stdin", .. Options,
            ]);
    }

    /// <summary>kill -9.</summary>
    public void Kill() => process.Kill();

    public void Pause() => process.Pause();

    public void Resume() => process.Resume();

    /// <summary>SIGTERM, then the exit code.</summary>
    public Task<int> TerminateAsync() => process.TerminateAsync();

    public string Output() => process.Tail(60);

    public void Dispose() => process.Dispose();
}
