using System.Globalization;
using Loom.Testing;

namespace Loom.Scenarios.Processes;

/// <summary>A real HAProxy before a cluster, configured as docs/operating.md says: TCP, the members of one datacenter, the others as backup, each asked whether a write would go through.</summary>
internal sealed class HaproxyProcess : IDisposable
{
    private readonly WatchedProcess process = new();
    private readonly string file;

    private HaproxyProcess(string program, string file, int port)
    {
        this.file = file;
        Endpoint = string.Create(CultureInfo.InvariantCulture, $"http://127.0.0.1:{port}");

        // In the foreground: it ends with what started it.
        process.Start(program, "-db", "-f", file);
    }

    public string Endpoint { get; }

    /// <summary>What it said: which servers went up and down.</summary>
    public string Output => process.Tail(int.MaxValue);

    /// <param name="cluster">What stands behind it.</param>
    /// <param name="datacenter">Where it stands: its members first.</param>
    public static HaproxyProcess Start(LoomCluster cluster, string datacenter)
    {
        string program = Require();
        int port = FreePorts.Take();
        IEnumerable<string> servers = cluster.Nodes.OrderBy(n => n.Datacenter == datacenter ? 0 : 1)
            .Select(n => $"    server {n.Name} {new Uri(n.Endpoint).Authority}{(n.Datacenter == datacenter ? "" : " backup")}");
        string file = Path.GetTempFileName();
        File.WriteAllText(file, string.Create(CultureInfo.InvariantCulture, $"""
            defaults
                mode tcp
                log stderr format raw local0 notice
                timeout connect 1s
                timeout client 1h
                timeout server 1h
                timeout tunnel 1h
            frontend clients
                bind 127.0.0.1:{port}
                default_backend loom
            backend loom
                option httpchk GET /lb/write
                option redispatch
                default-server check inter 500ms fall 2 rise 1 on-marked-down shutdown-sessions on-marked-up shutdown-backup-sessions
            {string.Join('\n', servers)}

            """));
        return new HaproxyProcess(program, file, port);
    }

    public void Dispose()
    {
        process.Dispose();
        File.Delete(file);
    }

    private static string Require()
    {
        if (Array.Find(["/usr/sbin/haproxy", "/usr/local/sbin/haproxy", "/usr/bin/haproxy"], File.Exists) is { } program)
        {
            return program;
        }

        TestRun.Lack("haproxy is not installed (apt-get install haproxy)");
        return "";
    }
}
