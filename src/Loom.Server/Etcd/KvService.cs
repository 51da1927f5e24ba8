using Google.Protobuf;
using Grpc.Core;
using Loom.Server.Etcd.Translation;
using Loom.Store;
using Loom.Store.Model;
using Wire = Loom.Server.Etcd.Protos;

namespace Loom.Server.Etcd;

/// <summary>
/// etcd's KV: each method is one translation, one call, one translation.
/// The calls get no token: cancelling would stop only the waiting, the store bounds that itself (5 s + 2 election timeouts), and gRPC answers a passed deadline.
/// </summary>
internal sealed class KvService(Callers callers, HeaderSource headers, EtcdLimits limits) : Wire.KV.KVBase
{
    public override async Task<Wire.RangeResponse> Range(Wire.RangeRequest request, ServerCallContext context)
    {
        ILoomStore store = callers.For(context);
        RangeQuery query = RequestTranslation.Range(request);
        ReadConsistency consistency = request.Serializable ? ReadConsistency.Local : ReadConsistency.Linearizable;
        RangeResult result = await ReadAsync(consistency, c => store.RangeAsync(query, c, CancellationToken.None)).ConfigureAwait(false);
        var response = new Wire.RangeResponse { Header = headers.At(result.Revision) };
        ResponseTranslation.Fill(response, result);
        return response;
    }

    public override async Task<Wire.PutResponse> Put(Wire.PutRequest request, ServerCallContext context)
    {
        ILoomStore store = callers.For(context);
        PutOperation put = RequestTranslation.Put(request);
        RequireSize(request);
        PutResult result = await store.PutAsync(put, CancellationToken.None).ConfigureAwait(false);
        return ResponseTranslation.Put(request, result, headers.At(result.Revision));
    }

    public override async Task<Wire.DeleteRangeResponse> DeleteRange(Wire.DeleteRangeRequest request, ServerCallContext context)
    {
        ILoomStore store = callers.For(context);
        DeleteOperation delete = RequestTranslation.Delete(request);
        RequireSize(request);
        DeleteResult result = await store.DeleteAsync(delete, CancellationToken.None).ConfigureAwait(false);
        return ResponseTranslation.Delete(request, result, headers.At(result.Revision));
    }

    public override async Task<Wire.TxnResponse> Txn(Wire.TxnRequest request, ServerCallContext context)
    {
        ILoomStore store = callers.For(context);
        Transaction transaction = RequestTranslation.Txn(request, limits.MaxTxnOperations);
        RequireSize(request);
        ReadConsistency consistency = RequestTranslation.IsSerializable(request) ? ReadConsistency.Local : ReadConsistency.Linearizable;
        TransactionResult result = await ReadAsync(consistency, c => store.TransactAsync(transaction, c, CancellationToken.None)).ConfigureAwait(false);
        return ResponseTranslation.Txn(request, result, headers.At(result.Revision));
    }

    public override async Task<Wire.CompactionResponse> Compact(Wire.CompactionRequest request, ServerCallContext context)
    {
        ILoomStore store = callers.For(context);
        Revision revision = await store.CompactAsync(new Revision(request.Revision), request.Physical, CancellationToken.None).ConfigureAwait(false);
        return new Wire.CompactionResponse { Header = headers.At(revision) };
    }

    private void RequireSize(IMessage request)
    {
        if (limits.IsTooLarge(request))
        {
            throw EtcdError.Refused(LoomErrorCode.RequestTooLarge);
        }
    }

    /// <summary>
    /// A serializable read of a revision that is not applied here may be of one that another member gave the client a moment ago: Go's transactions in memory read so, over all members. Asked through the
    /// quorum, only what nobody has written is in the future. (etcd says so at once.)
    /// </summary>
    private static async ValueTask<T> ReadAsync<T>(ReadConsistency consistency, Func<ReadConsistency, ValueTask<T>> read)
    {
        try
        {
            return await read(consistency).ConfigureAwait(false);
        }
        catch (LoomException future) when (future.Code == LoomErrorCode.FutureRevision && consistency.IsLocal)
        {
            return await read(ReadConsistency.Linearizable).ConfigureAwait(false);
        }
    }
}
