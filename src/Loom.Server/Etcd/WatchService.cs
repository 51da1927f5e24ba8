using Grpc.Core;
using Loom.Server.Etcd.Translation;
using Loom.Store;
using Wire = Loom.Server.Etcd.Protos;

namespace Loom.Server.Etcd;

/// <summary>etcd's Watch: a call is one stream of watches, until its client goes or the node stops.</summary>
internal sealed class WatchService(ILoomStore store, HeaderSource headers, EtcdLimits limits, IHostApplicationLifetime lifetime) : Wire.Watch.WatchBase
{
    public override async Task Watch(IAsyncStreamReader<Wire.WatchRequest> requestStream, IServerStreamWriter<Wire.WatchResponse> responseStream, ServerCallContext context)
    {
        bool needsLeader = headers.RequireLeaderIfAsked(context);
        try
        {
            using var ending = CancellationTokenSource.CreateLinkedTokenSource(context.CancellationToken, lifetime.ApplicationStopping);
            await using LoomWatchStream watches = store.OpenWatches();
            using var session = new WatchSession(store, watches, headers, limits, responseStream, context.GetHttpContext().Response.BodyWriter);
            await session.RunAsync(requestStream, needsLeader, ending).ConfigureAwait(false);
        }
        catch (LoomException exception)
        {
            throw EtcdError.From(exception);
        }
        catch (OperationCanceledException) when (lifetime.ApplicationStopping.IsCancellationRequested)
        {
            throw EtcdError.Refused(LoomErrorCode.Stopped);
        }
    }
}
