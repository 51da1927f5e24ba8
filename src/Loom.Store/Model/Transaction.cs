namespace Loom.Store.Model;

/// <summary>How a compare relates its target to the operand.</summary>
public enum CompareResult
{
    /// <summary>Equal.</summary>
    Equal = 0,

    /// <summary>Greater.</summary>
    Greater = 1,

    /// <summary>Less.</summary>
    Less = 2,

    /// <summary>Not equal.</summary>
    NotEqual = 3,
}

/// <summary>What a compare looks at.</summary>
public enum CompareTarget
{
    /// <summary>Version of the key; 0 when absent.</summary>
    Version = 0,

    /// <summary>Create revision; 0 when absent.</summary>
    Create = 1,

    /// <summary>Mod revision; 0 when absent.</summary>
    Mod = 2,

    /// <summary>Value; an absent key fails every value compare.</summary>
    Value = 3,

    /// <summary>Lease id; 0 when none.</summary>
    Lease = 4,
}

/// <summary>One condition of a transaction; over a range it must hold for all keys in it.</summary>
/// <param name="Range">The key or keys.</param>
/// <param name="Target">What is compared.</param>
/// <param name="Result">How.</param>
/// <param name="Number">Operand of Version, Create, Mod, Lease.</param>
/// <param name="Value">Operand of Value.</param>
public sealed record Compare(KeyRange Range, CompareTarget Target, CompareResult Result, long Number = 0, ReadOnlyMemory<byte> Value = default);

/// <summary>One operation of a transaction.</summary>
public abstract record Operation;

/// <summary>Puts a value.</summary>
/// <param name="Key">The key; not empty.</param>
/// <param name="Value">The value.</param>
public sealed record PutOperation(ReadOnlyMemory<byte> Key, ReadOnlyMemory<byte> Value) : Operation
{
    /// <summary>Lease to attach; 0: none (and detach).</summary>
    public long Lease { get; init; }

    /// <summary>Answer with the previous pair.</summary>
    public bool PreviousPair { get; init; }

    /// <summary>Keep the current value; the key must exist.</summary>
    public bool IgnoreValue { get; init; }

    /// <summary>Keep the current lease; the key must exist.</summary>
    public bool IgnoreLease { get; init; }
}

/// <summary>Deletes a range of keys. Deleting nothing changes nothing, the revision included.</summary>
/// <param name="Range">The keys.</param>
public sealed record DeleteOperation(KeyRange Range) : Operation
{
    /// <summary>Answer with the previous pairs.</summary>
    public bool PreviousPairs { get; init; }
}

/// <summary>Reads a range, seeing the writes of earlier operations of the same transaction.</summary>
/// <param name="Query">The query.</param>
public sealed record RangeOperation(RangeQuery Query) : Operation;

/// <summary>A nested transaction.</summary>
/// <param name="Transaction">It.</param>
public sealed record NestedOperation(Transaction Transaction) : Operation;

/// <summary>If all compares hold, the success operations, else the failure operations; atomically, at one revision.</summary>
/// <param name="Compares">Conditions, ANDed; none = true.</param>
/// <param name="Success">Operations when all hold.</param>
/// <param name="Failure">Operations otherwise.</param>
public sealed record Transaction(IReadOnlyList<Compare> Compares, IReadOnlyList<Operation> Success, IReadOnlyList<Operation> Failure)
{
    /// <summary>True when neither branch can write: such a transaction needs no log entry. A nested one counts as a write, as in etcd.</summary>
    public bool IsReadOnly => Success.All(o => o is RangeOperation) && Failure.All(o => o is RangeOperation);
}

/// <summary>Answer of one operation.</summary>
public abstract record OperationResult;

/// <summary>Answer to a put.</summary>
/// <param name="Revision">Revision inside the transaction after this operation.</param>
/// <param name="Previous">The previous pair if asked for and there was one.</param>
/// <param name="Deduplicated">This answer settles a retry: the revision is that of the first application, the previous pair is not known any more.</param>
public sealed record PutResult(Revision Revision, KeyValue? Previous, bool Deduplicated = false) : OperationResult;

/// <summary>Answer to a delete.</summary>
/// <param name="Revision">Revision inside the transaction after this operation.</param>
/// <param name="Deleted">Number of keys deleted.</param>
/// <param name="Previous">The previous pairs if asked for.</param>
/// <param name="Deduplicated">This answer settles a retry: revision and count are those of the first application, the previous pairs are not known any more.</param>
public sealed record DeleteResult(Revision Revision, long Deleted, IReadOnlyList<KeyValue> Previous, bool Deduplicated = false) : OperationResult;

/// <summary>Answer to a range inside a transaction.</summary>
/// <param name="Result">It.</param>
public sealed record RangeOperationResult(RangeResult Result) : OperationResult;

/// <summary>Answer to a nested transaction.</summary>
/// <param name="Result">It.</param>
public sealed record NestedResult(TransactionResult Result) : OperationResult;

/// <summary>Answer to a transaction.</summary>
/// <param name="Revision">Revision after it; one more than before only if something changed.</param>
/// <param name="Succeeded">All compares held.</param>
/// <param name="Results">One per operation of the branch that ran; empty when <paramref name="Deduplicated"/>.</param>
/// <param name="Deduplicated">This answer settles a retry: the branch and revision are those of the first application, its reads are gone.</param>
public sealed record TransactionResult(Revision Revision, bool Succeeded, IReadOnlyList<OperationResult> Results, bool Deduplicated = false);
