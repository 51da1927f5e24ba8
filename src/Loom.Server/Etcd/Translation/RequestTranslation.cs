using Google.Protobuf;
using Google.Protobuf.Collections;
using Loom.Store;
using Loom.Store.Model;
using Wire = Loom.Server.Etcd.Protos;

namespace Loom.Server.Etcd.Translation;

/// <summary>
/// etcd's requests in the store's words. It checks the form of a request in etcd's order, so that a request with several faults gets etcd's answer;
/// everything that depends on state is the store's. Keys and values are not copied: the parser made them for this request alone.
/// </summary>
internal static class RequestTranslation
{
    public static RangeQuery Range(Wire.RangeRequest request)
    {
        if (request.Key.IsEmpty)
        {
            throw EtcdError.Refused(LoomErrorCode.EmptyKey);
        }

        if (request.SortTarget is < Wire.RangeRequest.Types.SortTarget.Key or > Wire.RangeRequest.Types.SortTarget.Value)
        {
            // etcd up to 3.5 panics here; 3.6 answers so.
            throw EtcdError.Refused(LoomErrorCode.InvalidSort);
        }

        // An unknown order sorts nothing in etcd, whatever the target: key order.
        bool known = request.SortOrder is >= Wire.RangeRequest.Types.SortOrder.None and <= Wire.RangeRequest.Types.SortOrder.Descend;
        return new RangeQuery(Keys(request.Key, request.RangeEnd))
        {
            Limit = request.Limit,
            Revision = request.Revision,
            SortOrder = known ? (SortOrder)request.SortOrder : SortOrder.None,
            SortTarget = known ? (SortTarget)request.SortTarget : SortTarget.Key,
            KeysOnly = request.KeysOnly,
            CountOnly = request.CountOnly,
            MinModRevision = request.MinModRevision,
            MaxModRevision = request.MaxModRevision,
            MinCreateRevision = request.MinCreateRevision,
            MaxCreateRevision = request.MaxCreateRevision,
        };
    }

    public static PutOperation Put(Wire.PutRequest request)
    {
        if (request.Key.IsEmpty)
        {
            throw EtcdError.Refused(LoomErrorCode.EmptyKey);
        }

        if (request.IgnoreValue && !request.Value.IsEmpty)
        {
            throw EtcdError.Refused(LoomErrorCode.ValueProvided);
        }

        if (request.IgnoreLease && request.Lease != 0)
        {
            throw EtcdError.Refused(LoomErrorCode.LeaseProvided);
        }

        return new PutOperation(request.Key.Memory, request.Value.Memory)
        {
            Lease = request.Lease,
            PreviousPair = request.PrevKv,
            IgnoreValue = request.IgnoreValue,
            IgnoreLease = request.IgnoreLease,
        };
    }

    public static DeleteOperation Delete(Wire.DeleteRangeRequest request)
    {
        if (request.Key.IsEmpty)
        {
            throw EtcdError.Refused(LoomErrorCode.EmptyKey);
        }

        return new DeleteOperation(Keys(request.Key, request.RangeEnd)) { PreviousPairs = request.PrevKv };
    }

    /// <summary>The limit counts the longest of the three lists; a nested transaction gets what its parent left.</summary>
    public static Transaction Txn(Wire.TxnRequest request, int maxOperations)
    {
        int used = Math.Max(request.Compare.Count, Math.Max(request.Success.Count, request.Failure.Count));
        if (used > maxOperations)
        {
            throw EtcdError.Refused(LoomErrorCode.TooManyOperations);
        }

        foreach (Wire.Compare compare in request.Compare)
        {
            if (compare.Key.IsEmpty)
            {
                throw EtcdError.Refused(LoomErrorCode.EmptyKey);
            }
        }

        return new Transaction(Compares(request.Compare), Operations(request.Success, maxOperations - used), Operations(request.Failure, maxOperations - used));
    }

    /// <summary>True when etcd would answer from the local replica: only serializable ranges in both branches.</summary>
    public static bool IsSerializable(Wire.TxnRequest request) => AllSerializable(request.Success) && AllSerializable(request.Failure);

    private static bool AllSerializable(RepeatedField<Wire.RequestOp> operations)
    {
        foreach (Wire.RequestOp operation in operations)
        {
            if (operation.RequestRange is not { Serializable: true })
            {
                return false;
            }
        }

        return true;
    }

    private static List<Operation> Operations(RepeatedField<Wire.RequestOp> operations, int maxOperations)
    {
        var list = new List<Operation>(operations.Count);
        foreach (Wire.RequestOp operation in operations)
        {
            list.Add(operation.RequestCase switch
            {
                Wire.RequestOp.RequestOneofCase.RequestRange => new RangeOperation(Range(operation.RequestRange)),
                Wire.RequestOp.RequestOneofCase.RequestPut => Put(operation.RequestPut),
                Wire.RequestOp.RequestOneofCase.RequestDeleteRange => Delete(operation.RequestDeleteRange),
                Wire.RequestOp.RequestOneofCase.RequestTxn => new NestedOperation(Txn(operation.RequestTxn, maxOperations)),

                // An operation that is none: etcd says "key not found".
                _ => throw EtcdError.Refused(LoomErrorCode.KeyNotFound),
            });
        }

        return list;
    }

    private static List<Compare> Compares(RepeatedField<Wire.Compare> compares)
    {
        var list = new List<Compare>(compares.Count);
        foreach (Wire.Compare compare in compares)
        {
            if (Translate(compare) is { } translated)
            {
                list.Add(translated);
            }
        }

        return list;
    }

    /// <summary>
    /// Null for a compare that always holds. etcd takes a missing or mismatched operand as zero, an unknown result as "holds" (but a value compare needs its key),
    /// and an unknown target as a comparison that finds equality.
    /// </summary>
    private static Compare? Translate(Wire.Compare compare)
    {
        KeyRange keys = Keys(compare.Key, compare.RangeEnd);
        bool knownResult = compare.Result is >= Wire.Compare.Types.CompareResult.Equal and <= Wire.Compare.Types.CompareResult.NotEqual;
        bool knownTarget = compare.Target is >= Wire.Compare.Types.CompareTarget.Version and <= Wire.Compare.Types.CompareTarget.Lease;
        if (!knownTarget)
        {
            return !knownResult || compare.Result == Wire.Compare.Types.CompareResult.Equal
                ? null
                : new Compare(keys, CompareTarget.Version, CompareResult.Less);
        }

        if (!knownResult)
        {
            return compare.Target == Wire.Compare.Types.CompareTarget.Value ? new Compare(keys, CompareTarget.Version, CompareResult.Greater) : null;
        }

        var result = (CompareResult)compare.Result;
        return compare.Target switch
        {
            Wire.Compare.Types.CompareTarget.Version => new Compare(keys, CompareTarget.Version, result, compare.HasVersion ? compare.Version : 0),
            Wire.Compare.Types.CompareTarget.Create => new Compare(keys, CompareTarget.Create, result, compare.HasCreateRevision ? compare.CreateRevision : 0),
            Wire.Compare.Types.CompareTarget.Mod => new Compare(keys, CompareTarget.Mod, result, compare.HasModRevision ? compare.ModRevision : 0),
            Wire.Compare.Types.CompareTarget.Lease => new Compare(keys, CompareTarget.Lease, result, compare.HasLease ? compare.Lease : 0),
            _ => new Compare(keys, CompareTarget.Value, result, 0, compare.HasValue ? compare.Value.Memory : default),
        };
    }

    private static KeyRange Keys(ByteString key, ByteString end) => new(key.Memory, end.Memory);
}
