using System.Diagnostics;
using System.Globalization;
using Grpc.Core;
using Grpc.Net.Client;
using Loom.Server.Etcd.Protos;
using Loom.Testing;

namespace Loom.Server.Tests.Etcd;

/// <summary>A real etcd with a new, empty store on loopback.</summary>
internal sealed class EtcdProcess : IDisposable
{
    private readonly Process process;
    private readonly string directory;

    private EtcdProcess(Process process, string directory, string endpoint)
    {
        this.process = process;
        this.directory = directory;
        Endpoint = endpoint;
        Channel = GrpcChannel.ForAddress("http://" + endpoint);
    }

    public string Endpoint { get; }

    public GrpcChannel Channel { get; }

    public static async Task<EtcdProcess> StartAsync(params string[] options)
    {
        string path = Interop.Require("etcd");
        string directory = Directory.CreateTempSubdirectory("loom-etcd-").FullName;
        int client = FreePorts.Take();
        int peer = FreePorts.Take();
        string clientUrl = string.Create(CultureInfo.InvariantCulture, $"http://127.0.0.1:{client}");
        string peerUrl = string.Create(CultureInfo.InvariantCulture, $"http://127.0.0.1:{peer}");
        string[] arguments =
        [
            "--data-dir", directory, "--listen-client-urls", clientUrl, "--advertise-client-urls", clientUrl, "--listen-peer-urls", peerUrl,
            "--initial-advertise-peer-urls", peerUrl, "--initial-cluster", "default=" + peerUrl, "--logger", "zap", "--log-outputs", "/dev/null", .. options,
        ];
        Process process = Process.Start(new ProcessStartInfo(path, arguments) { RedirectStandardError = true, RedirectStandardOutput = true })!;
        var etcd = new EtcdProcess(process, directory, clientUrl["http://".Length..]);
        await etcd.WaitUntilItServesAsync();
        return etcd;
    }

    public void Dispose()
    {
        Channel.Dispose();
        process.Kill();
        process.WaitForExit();
        process.Dispose();
        Directory.Delete(directory, recursive: true);
    }

    private async Task WaitUntilItServesAsync()
    {
        var kv = new KV.KVClient(Channel);
        DateTime end = DateTime.UtcNow.AddSeconds(20);
        while (true)
        {
            try
            {
                await kv.RangeAsync(new RangeRequest { Key = Google.Protobuf.ByteString.CopyFromUtf8("x") }, deadline: DateTime.UtcNow.AddSeconds(2));
                return;
            }
            catch (RpcException) when (DateTime.UtcNow < end && !process.HasExited)
            {
                await Task.Delay(50);
            }
        }
    }
}
