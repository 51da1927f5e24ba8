using Grpc.Net.Client;
using Loom.Server.Configuration;
using Loom.Server.Etcd.Protos;
using Loom.Server.Hosting;
using Loom.Store;
using Loom.Testing;

namespace Loom.Server.Tests.Hosting;

/// <summary>The client port on a store of its own, in this process, on a free port: for tests that are not about consensus.</summary>
internal sealed class TestNode : IAsyncDisposable
{
    private TestNode(LoomStore store, ImmediateNode node, NodeServer server, TlsPort? tls)
    {
        Tls = tls;
        Store = store;
        Node = node;
        Server = server;
        Endpoint = new Uri(server.Addresses.Bound[0]).Authority;
        Channel = GrpcChannel.ForAddress(server.Addresses.Bound[0], new GrpcChannelOptions { MaxReceiveMessageSize = null });
    }

    /// <summary>Of the https address; null: cleartext.</summary>
    public TlsPort? Tls { get; }

    public LoomStore Store { get; }

    public ImmediateNode Node { get; }

    public NodeServer Server { get; }

    public string Endpoint { get; }

    public GrpcChannel Channel { get; }

    public KV.KVClient Kv => new(Channel);

    public static async Task<TestNode> StartAsync(Func<ServeSettings, ServeSettings>? change = null, LoomOptions? options = null, TlsPort? tls = null)
    {
        LoomStore store = ImmediateNode.OpenStore(out ImmediateNode node, options);
        var settings = new ServeSettings { ListenClientUrls = [tls is null ? "http://127.0.0.1:0" : "https://127.0.0.1:0"] };
        return new TestNode(store, node, await NodeServer.StartAsync(store, change?.Invoke(settings) ?? settings, tls), tls);
    }

    public async ValueTask DisposeAsync()
    {
        Channel.Dispose();
        await Server.StopAsync(CancellationToken.None);
        await Server.DisposeAsync();
        await Store.DisposeAsync();
    }
}
