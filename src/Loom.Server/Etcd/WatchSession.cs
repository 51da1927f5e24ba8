using System.IO.Pipelines;
using Grpc.Core;
using Loom.Server.Etcd.Translation;
using Loom.Store;
using Loom.Store.Model;
using Wire = Loom.Server.Etcd.Protos;

namespace Loom.Server.Etcd;

/// <summary>
/// One stream of watches: a loop that reads requests and one that writes events. They take turns at writing, and what a request changes happens within its turn: so <c>created</c> comes before
/// the first event of a watch, and nothing comes after <c>canceled</c>. Nothing is queued here: a client that does not read holds up its own requests and its own events, which then wait in
/// the store's bounded buffers, or in its history.
/// </summary>
internal sealed class WatchSession(
    ILoomStore store, LoomWatchStream watches, HeaderSource headers, EtcdLimits limits, IServerStreamWriter<Wire.WatchResponse> responses, PipeWriter body) : IDisposable
{
    private const long NoWatch = -1;

    // Ids of canceled watches that are remembered; more are forgotten, and then they are free again.
    private const int MaxCanceled = 65_536;
    // Bytes, about, that are written before they go out while more follows: a burst for many watches is a few packets and not thousands.
    private const long MaxUnflushed = 32 * 1024;
    private static readonly WriteOptions Unflushed = new(WriteFlags.BufferHint);

    private readonly SemaphoreSlim turn = new(1, 1);
    private readonly HashSet<long> fragmented = [];
    private readonly HashSet<long> canceled = [];
    private long nextId;
    private long unflushed;

    /// <summary>After it has run.</summary>
    public void Dispose() => turn.Dispose();

    /// <summary>Runs until <paramref name="ending"/>; a client that has no more requests still gets its events.</summary>
    public async Task RunAsync(IAsyncStreamReader<Wire.WatchRequest> requests, CancellationTokenSource ending)
    {
        List<Task> loops = [SendAsync(ending.Token), ReceiveAsync(requests, ending.Token)];
        try
        {
            while (loops.Count > 0)
            {
                Task ended = await Task.WhenAny(loops).ConfigureAwait(false);
                loops.Remove(ended);
                await ended.ConfigureAwait(false);
            }
        }
        finally
        {
            await ending.CancelAsync().ConfigureAwait(false);
            await Task.WhenAll(loops).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private async Task SendAsync(CancellationToken ending)
    {
        while (true)
        {
            Task<bool> more = watches.WaitToReadAsync(ending).AsTask();
            if (!more.IsCompleted && unflushed > 0)
            {
                await TakeTurnAsync(() => FlushAsync(ending), ending).ConfigureAwait(false);
            }

            if (!await more.ConfigureAwait(false))
            {
                return;
            }

            await TakeTurnAsync(() => watches.TryRead(out WatchMessage? message) ? SendAsync(message!, ending) : Task.CompletedTask, ending).ConfigureAwait(false);
        }
    }

    private async Task TakeTurnAsync(Func<Task> act, CancellationToken ending)
    {
        await turn.WaitAsync(ending).ConfigureAwait(false);
        try
        {
            await act().ConfigureAwait(false);
        }
        finally
        {
            turn.Release();
        }
    }

    private async Task ReceiveAsync(IAsyncStreamReader<Wire.WatchRequest> requests, CancellationToken ending)
    {
        try
        {
            while (await requests.MoveNext(ending).ConfigureAwait(false))
            {
                Wire.WatchRequest request = requests.Current;
                await TakeTurnAsync(() => AnswerAsync(request, ending), ending).ConfigureAwait(false);
            }
        }
        catch (IOException)
        {
            // The connection broke: the call's token ends the rest.
        }
    }

    private Task AnswerAsync(Wire.WatchRequest request, CancellationToken ending)
    {
        switch (request.RequestUnionCase)
        {
            case Wire.WatchRequest.RequestUnionOneofCase.CreateRequest:
                return CreateAsync(request.CreateRequest, ending);
            case Wire.WatchRequest.RequestUnionOneofCase.CancelRequest when watches.Remove(request.CancelRequest.WatchId) || canceled.Contains(request.CancelRequest.WatchId):
                fragmented.Remove(request.CancelRequest.WatchId);
                canceled.Remove(request.CancelRequest.WatchId);
                return WriteAsync(new() { Header = headers.At(store.Status.Revision), WatchId = request.CancelRequest.WatchId, Canceled = true }, ending);
            case Wire.WatchRequest.RequestUnionOneofCase.ProgressRequest:
                watches.RequestProgress();
                return Task.CompletedTask;
            default:
                // A cancellation of a watch that is not there, and what only newer clients know: etcd says nothing.
                return Task.CompletedTask;
        }
    }

    private Task CreateAsync(Wire.WatchCreateRequest request, CancellationToken ending)
    {
        try
        {
            // Before anything else is said of the request, and before it takes an id.
            watches.RequirePermission(WatchTranslation.Query(request).Range);
        }
        catch (LoomException fault) when (EtcdError.DenialOf(fault) is { } reason)
        {
            return RefuseAsync(reason, ending);
        }

        if (request.StartRevision < 0)
        {
            return RefuseAsync(EtcdError.Compacted, ending);
        }

        if (WatchTranslation.IsEmpty(request))
        {
            return RefuseAsync(EtcdError.EmptyWatchRange, ending);
        }

        long id = request.WatchId;
        if (id == 0)
        {
            while (IsTaken(nextId))
            {
                nextId++;
            }

            id = nextId++;
        }
        else if (IsTaken(id))
        {
            return RefuseAsync(EtcdError.DuplicateWatch, ending);
        }

        Revision revision;
        try
        {
            revision = watches.Add(id, WatchTranslation.Query(request));
        }
        catch (LoomException fault) when (fault.Code == LoomErrorCode.InvalidRequest || EtcdError.DenialOf(fault) is not null)
        {
            return RefuseAsync(EtcdError.DenialOf(fault) ?? fault.Message, ending);
        }

        if (request.Fragment)
        {
            fragmented.Add(id);
        }

        return WriteAsync(new() { Header = headers.At(revision), WatchId = id, Created = true }, ending);
    }

    /// <summary>The id of a watch that compaction canceled is taken until its client cancels it, too: so it is in etcd.</summary>
    private bool IsTaken(long id) => watches.Contains(id) || canceled.Contains(id);

    private Task RefuseAsync(string reason, CancellationToken ending) =>
        WriteAsync(new() { Header = headers.At(store.Status.Revision), WatchId = NoWatch, Created = true, Canceled = true, CancelReason = reason }, ending);

    private async Task SendAsync(WatchMessage message, CancellationToken ending)
    {
        long id = message.Watch ?? NoWatch;
        if (message.End is WatchCompactedException compacted)
        {
            fragmented.Remove(id);
            if (canceled.Count < MaxCanceled)
            {
                canceled.Add(id);
            }

            await WriteAsync(new() { Header = headers.WithoutRevision(), WatchId = id, Canceled = true, CompactRevision = compacted.CompactRevision }, ending).ConfigureAwait(false);
            return;
        }

        if (message.End is { } denied && EtcdError.DenialOf(denied) is { } reason)
        {
            // A permission was taken away meanwhile.
            fragmented.Remove(id);
            await WriteAsync(new() { Header = headers.At(store.Status.Revision), WatchId = id, Canceled = true, CancelReason = reason }, ending).ConfigureAwait(false);
            return;
        }

        if (message.End is { } end)
        {
            // The member is not what it should be: the client opens its watches again, at another one.
            throw end;
        }

        var response = new Wire.WatchResponse { Header = headers.At(message.Batch!.Current), WatchId = id };
        WatchTranslation.Fill(response, message.Batch.Events);
        IEnumerable<Wire.WatchResponse> parts = fragmented.Contains(id) ? WatchTranslation.Fragments(response, limits.MaxMessageBytes) : [response];
        foreach (Wire.WatchResponse part in parts)
        {
            unflushed += WatchTranslation.Bytes(part);
            bool goesOut = unflushed >= MaxUnflushed;
            responses.WriteOptions = goesOut ? null : Unflushed;
            await responses.WriteAsync(part, ending).ConfigureAwait(false);
            unflushed = goesOut ? 0 : unflushed;
        }
    }

    /// <summary>Writes, and lets everything go that was written before.</summary>
    private Task WriteAsync(Wire.WatchResponse response, CancellationToken ending)
    {
        unflushed = 0;
        responses.WriteOptions = null;
        return responses.WriteAsync(response, ending);
    }

    private async Task FlushAsync(CancellationToken ending)
    {
        unflushed = 0;
        await body.FlushAsync(ending).ConfigureAwait(false);
    }
}
