using Grpc.Core;
using Loom.Server.Health.Protos;

namespace Loom.Server.Health;

/// <summary>gRPC's health service. Like etcd's it knows one service, the empty name: the whole server.</summary>
internal sealed class GrpcHealthService(HealthProbe probe) : Protos.Health.HealthBase
{
    private static readonly TimeSpan WatchInterval = TimeSpan.FromMilliseconds(500);

    public override Task<HealthCheckResponse> Check(HealthCheckRequest request, ServerCallContext context)
    {
        if (request.Service.Length > 0)
        {
            throw new RpcException(new Status(StatusCode.NotFound, "unknown service"));
        }

        return Task.FromResult(new HealthCheckResponse { Status = Current() });
    }

    /// <summary>Sends the state at once and at each change, until the caller goes.</summary>
    public override async Task Watch(HealthCheckRequest request, IServerStreamWriter<HealthCheckResponse> responseStream, ServerCallContext context)
    {
        var sent = HealthCheckResponse.Types.ServingStatus.Unknown;
        using var timer = new PeriodicTimer(WatchInterval);
        do
        {
            HealthCheckResponse.Types.ServingStatus now = request.Service.Length > 0 ? HealthCheckResponse.Types.ServingStatus.ServiceUnknown : Current();
            if (now != sent)
            {
                await responseStream.WriteAsync(new HealthCheckResponse { Status = now }, context.CancellationToken).ConfigureAwait(false);
                sent = now;
            }
        }
        while (!probe.Stopping && await timer.WaitForNextTickAsync(context.CancellationToken).ConfigureAwait(false));
    }

    private HealthCheckResponse.Types.ServingStatus Current() => probe.Stopping || probe.Failure is not null
        ? HealthCheckResponse.Types.ServingStatus.NotServing
        : HealthCheckResponse.Types.ServingStatus.Serving;
}
