using System.IO.Pipelines;
using System.Threading.Channels;
using Google.Protobuf;
using Grpc.Core;
using Loom.Server.Hosting;
using Loom.Store;
using Loom.Store.Model;
using Wire = Loom.Server.Etcd.Protos;

namespace Loom.Server.Etcd;

/// <summary>etcd's Lease: each method is one translation and one call; any member answers, and renewals of all streams of this one go into the log together.</summary>
internal sealed class LeaseService(Callers callers, HeaderSource headers, OpenStreams streams) : Wire.Lease.LeaseBase
{
    /// <summary>More than the store grants, and not more than a span of time holds.</summary>
    private static readonly long MostSeconds = (long)TimeSpan.MaxValue.TotalSeconds;

    /// <summary>Renewals of one stream that are under way; who sends more waits until an answer has gone out.</summary>
    private const int MaxPipelined = 1024;

    private static readonly WriteOptions Unflushed = new(WriteFlags.BufferHint);

    public override async Task<Wire.LeaseGrantResponse> LeaseGrant(Wire.LeaseGrantRequest request, ServerCallContext context)
    {
        LeaseGrant lease = await callers.For(context).Leases.GrantAsync(TimeSpan.FromSeconds(Math.Clamp(request.TTL, 0, MostSeconds)), request.ID, CancellationToken.None).ConfigureAwait(false);
        return new Wire.LeaseGrantResponse { Header = headers.At(lease.Revision), ID = lease.Id, TTL = (long)lease.TimeToLive.TotalSeconds };
    }

    public override async Task<Wire.LeaseRevokeResponse> LeaseRevoke(Wire.LeaseRevokeRequest request, ServerCallContext context)
    {
        return new Wire.LeaseRevokeResponse { Header = headers.At(await callers.For(context).Leases.RevokeAsync(request.ID, CancellationToken.None).ConfigureAwait(false)) };
    }

    /// <summary>
    /// One answer per request, in their order; many may be under way at a time. A half-close ends the stream once all are answered (unlike a watch's). A renewal that fails ends it with the error, as etcd's does:
    /// the client then looks for another member, and its leases live on until they are due.
    /// </summary>
    public override Task LeaseKeepAlive(
        IAsyncStreamReader<Wire.LeaseKeepAliveRequest> requestStream, IServerStreamWriter<Wire.LeaseKeepAliveResponse> responseStream, ServerCallContext context)
    {
        PipeWriter body = context.GetHttpContext().Response.BodyWriter;
        return streams.RunAsync(context, ending => KeepAliveAsync(callers.For(context), requestStream, responseStream, body, ending));
    }

    public override async Task<Wire.LeaseTimeToLiveResponse> LeaseTimeToLive(Wire.LeaseTimeToLiveRequest request, ServerCallContext context)
    {
        LeaseState lease = await callers.For(context).Leases.TimeToLiveAsync(request.ID, request.Keys, CancellationToken.None).ConfigureAwait(false);
        var response = new Wire.LeaseTimeToLiveResponse { Header = headers.At(lease.Revision), ID = lease.Id, TTL = -1 };
        if (lease.Exists)
        {
            response.TTL = (long)lease.Remaining.TotalSeconds;
            response.GrantedTTL = (long)lease.Granted.TotalSeconds;
            response.Keys.Add(lease.Keys.Select(UnsafeByteOperations.UnsafeWrap));
        }

        return response;
    }

    public override async Task<Wire.LeaseLeasesResponse> LeaseLeases(Wire.LeaseLeasesRequest request, ServerCallContext context)
    {
        LeaseList list = await callers.For(context).Leases.ListAsync(CancellationToken.None).ConfigureAwait(false);
        var response = new Wire.LeaseLeasesResponse { Header = headers.At(list.Revision) };
        response.Leases.Add(list.Ids.Select(id => new Wire.LeaseStatus { ID = id }));
        return response;
    }

    private async Task KeepAliveAsync(
        ILoomStore store, IAsyncStreamReader<Wire.LeaseKeepAliveRequest> requests, IServerStreamWriter<Wire.LeaseKeepAliveResponse> responses, PipeWriter body, CancellationTokenSource ending)
    {
        var answers = Channel.CreateBounded<Task<LeaseRenewal>>(new BoundedChannelOptions(MaxPipelined) { SingleReader = true, SingleWriter = true });
        Task reading = ReadAsync(store, requests, answers.Writer, ending.Token);
        try
        {
            await SendAsync(answers.Reader, responses, body, ending.Token).ConfigureAwait(false);
            ending.Token.ThrowIfCancellationRequested();
        }
        finally
        {
            await ending.CancelAsync().ConfigureAwait(false);
            await reading.ConfigureAwait(false);
        }
    }

    /// <summary>What one log entry renewed is answered in one packet, as far as it is next in order: nothing is held back for an answer that is not there yet.</summary>
    private async Task SendAsync(ChannelReader<Task<LeaseRenewal>> answers, IServerStreamWriter<Wire.LeaseKeepAliveResponse> responses, PipeWriter body, CancellationToken ending)
    {
        responses.WriteOptions = Unflushed;
        while (await answers.WaitToReadAsync(ending).ConfigureAwait(false))
        {
            bool isHeldBack = false;
            while (answers.TryRead(out Task<LeaseRenewal>? answer))
            {
                if (isHeldBack && !answer.IsCompleted)
                {
                    await body.FlushAsync(ending).ConfigureAwait(false);
                }

                LeaseRenewal lease = await answer.WaitAsync(ending).ConfigureAwait(false);

                // Of a lease that is gone the field is absent, in JSON too: clients take anything else there for a lease that lives.
                var response = new Wire.LeaseKeepAliveResponse { Header = headers.At(lease.Revision), ID = lease.Id, TTL = (long)lease.TimeToLive.TotalSeconds };
                await responses.WriteAsync(response, ending).ConfigureAwait(false);
                isHeldBack = true;
            }

            await body.FlushAsync(ending).ConfigureAwait(false);
        }
    }

    /// <summary>Asks for each renewal as its request comes; never throws: what is wrong goes to the reader of the answers.</summary>
    private static async Task ReadAsync(ILoomStore store, IAsyncStreamReader<Wire.LeaseKeepAliveRequest> requests, ChannelWriter<Task<LeaseRenewal>> answers, CancellationToken cancellationToken)
    {
        try
        {
            while (await requests.MoveNext(cancellationToken).ConfigureAwait(false))
            {
                // Not with the stream's token: the renewal is on its way, and each such wait would cost more than the rest of it.
                Task<LeaseRenewal> answer = store.Leases.KeepAliveAsync(requests.Current.ID, CancellationToken.None).AsTask();
                await answers.WriteAsync(answer, cancellationToken).ConfigureAwait(false);
            }

            answers.Complete();
        }
#pragma warning disable CA1031 // A client that goes, a connection that breaks, a stream that this side ends: each is the end of the stream.
        catch (Exception exception)
#pragma warning restore CA1031
        {
            answers.TryComplete(exception is OperationCanceledException ? null : exception);
        }
    }
}
