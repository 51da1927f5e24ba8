using Grpc.Core;
using Loom.Server.Hosting;
using Loom.Store;
using Wire = Loom.Server.Etcd.Protos;

namespace Loom.Server.Etcd;

/// <summary>etcd's Watch: a call is one stream of watches, until its client goes or the node stops.</summary>
internal sealed class WatchService(ILoomStore store, Callers callers, HeaderSource headers, EtcdLimits limits, OpenStreams streams) : Wire.Watch.WatchBase
{
    public override Task Watch(IAsyncStreamReader<Wire.WatchRequest> requestStream, IServerStreamWriter<Wire.WatchResponse> responseStream, ServerCallContext context) => streams.RunAsync(context, async ending =>
    {
        ILoomStore caller = callers.For(context);
        await SettleAsync(caller, ending.Token).ConfigureAwait(false);
        await using LoomWatchStream watches = caller.OpenWatches();
        using var session = new WatchSession(store, watches, headers, limits, responseStream, context.GetHttpContext().Response.BodyWriter);
        await session.RunAsync(requestStream, ending).ConfigureAwait(false);
    });

    /// <summary>A token that another member gave just now is known here before the first watch is judged. One that is wrong is told each watch, as in etcd, and does not end the stream.</summary>
    private static async Task SettleAsync(ILoomStore caller, CancellationToken cancellationToken)
    {
        try
        {
            await caller.Auth.RequireUserAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (LoomException)
        {
        }
    }
}
