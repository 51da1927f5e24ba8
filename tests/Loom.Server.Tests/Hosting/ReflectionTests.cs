using Grpc.Core;
using Grpc.Reflection.V1Alpha;

namespace Loom.Server.Tests.Hosting;

/// <summary>Tools such as grpcurl ask a server what it serves.</summary>
[TestFixture]
internal sealed class ReflectionTests
{
    [Test]
    public async Task The_node_tells_which_services_it_has()
    {
        await using TestNode node = await TestNode.StartAsync();
        using AsyncDuplexStreamingCall<ServerReflectionRequest, ServerReflectionResponse> call = new ServerReflection.ServerReflectionClient(node.Channel).ServerReflectionInfo();
        await call.RequestStream.WriteAsync(new ServerReflectionRequest { ListServices = "" });
        Assert.That(await call.ResponseStream.MoveNext(CancellationToken.None));
        Assert.That(
            call.ResponseStream.Current.ListServicesResponse.Service.Select(service => service.Name),
            Is.SupersetOf((string[])["etcdserverpb.KV", "etcdserverpb.Watch", "etcdserverpb.Lease", "etcdserverpb.Cluster", "etcdserverpb.Maintenance", "loom.v1.Cluster"]));
        await call.RequestStream.CompleteAsync();
    }
}
