using Google.Protobuf;
using Google.Protobuf.Collections;
using Loom.Store;
using Loom.Store.Model;
using Wire = Loom.Server.Etcd.Protos;

namespace Loom.Server.Etcd.Translation;

/// <summary>The store's answers in etcd's words. Bytes are wrapped, not copied: the store never changes a value it handed out.</summary>
internal static class ResponseTranslation
{
    public static void Fill(Wire.RangeResponse response, RangeResult result)
    {
        response.More = result.More;
        response.Count = result.Count;
        if (result.Pairs.Count > 0)
        {
            Fill(response.Kvs, result.Pairs);
        }
    }

    public static Wire.PutResponse Put(Wire.PutRequest request, PutResult result, Wire.ResponseHeader header)
    {
        if (result.Deduplicated && request.PrevKv)
        {
            throw ReadsLost(result.Revision);
        }

        var response = new Wire.PutResponse { Header = header };
        if (result.Previous is { } previous)
        {
            response.PrevKv = Pair(previous);
        }

        return response;
    }

    public static Wire.DeleteRangeResponse Delete(Wire.DeleteRangeRequest request, DeleteResult result, Wire.ResponseHeader header)
    {
        if (result.Deduplicated && request.PrevKv)
        {
            throw ReadsLost(result.Revision);
        }

        var response = new Wire.DeleteRangeResponse { Header = header, Deleted = result.Deleted };
        Fill(response.PrevKvs, result.Previous);
        return response;
    }

    /// <summary>Inside, each operation's header holds only the revision, and a nested transaction's holds nothing.</summary>
    public static Wire.TxnResponse Txn(Wire.TxnRequest request, TransactionResult result, Wire.ResponseHeader header)
    {
        var response = new Wire.TxnResponse { Header = header, Succeeded = result.Succeeded };
        if (result.Deduplicated)
        {
            FillDeduplicated(response, result.Succeeded ? request.Success : request.Failure, result.Revision);
            return response;
        }

        RepeatedField<Wire.RequestOp> operations = result.Succeeded ? request.Success : request.Failure;
        for (int i = 0; i < result.Results.Count; i++)
        {
            response.Responses.Add(Operation(operations[i], result.Results[i]));
        }

        return response;
    }

    private static Wire.ResponseOp Operation(Wire.RequestOp request, OperationResult result)
    {
        switch (result)
        {
            case RangeOperationResult range:
                var response = new Wire.RangeResponse { Header = RevisionOnly(range.Result.Revision) };
                Fill(response, range.Result);
                return new Wire.ResponseOp { ResponseRange = response };
            case PutResult put:
                return new Wire.ResponseOp { ResponsePut = Put(request.RequestPut, put, RevisionOnly(put.Revision)) };
            case DeleteResult delete:
                return new Wire.ResponseOp { ResponseDeleteRange = Delete(request.RequestDeleteRange, delete, RevisionOnly(delete.Revision)) };
            case NestedResult nested:
                return new Wire.ResponseOp { ResponseTxn = Txn(request.RequestTxn, nested.Result, new Wire.ResponseHeader()) };
            default:
                throw new InvalidOperationException($"an operation answered with {result.GetType().Name}, which etcd's API cannot say");
        }
    }

    /// <summary>
    /// The node's own retry met its first application: what was read is gone (P2). Plain puts answer nothing but the revision, so their answer is whole;
    /// anything that read would be an invention, so the client gets the code of an unknown outcome and asks again.
    /// </summary>
    private static void FillDeduplicated(Wire.TxnResponse response, RepeatedField<Wire.RequestOp> operations, Revision revision)
    {
        foreach (Wire.RequestOp operation in operations)
        {
            if (operation.RequestPut is not { PrevKv: false })
            {
                throw ReadsLost(revision);
            }

            response.Responses.Add(new Wire.ResponseOp { ResponsePut = new Wire.PutResponse { Header = RevisionOnly(revision) } });
        }
    }

    private static Grpc.Core.RpcException ReadsLost(Revision revision) => EtcdError.From(new OutcomeUnknownException(
        LoomErrorCode.DeadlineExceeded,
        $"LOOM1009: the write was applied at revision {revision}, but the way to the leader broke and what it read is lost. Read the keys again."));

    private static Wire.ResponseHeader RevisionOnly(Revision revision) => new() { Revision = revision.Number };

    private static void Fill(RepeatedField<Wire.KeyValue> target, IReadOnlyList<KeyValue> pairs)
    {
        target.Capacity = pairs.Count;
        for (int i = 0; i < pairs.Count; i++)
        {
            target.Add(Pair(pairs[i]));
        }
    }

    public static Wire.KeyValue Pair(KeyValue pair) => new()
    {
        Key = UnsafeByteOperations.UnsafeWrap(pair.Key),
        Value = UnsafeByteOperations.UnsafeWrap(pair.Value),
        CreateRevision = pair.CreateRevision,
        ModRevision = pair.ModRevision,
        Version = pair.Version,
        Lease = pair.Lease,
    };
}
