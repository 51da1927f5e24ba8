using Loom.Store.Model;

namespace Loom.Store;

/// <summary>Collects conditions and operations of a transaction in reading order: When…, then operations, then Otherwise() and the other branch.</summary>
public sealed class TransactionBuilder
{
    private readonly List<Compare> compares = [];
    private readonly List<Operation> success = [];
    private readonly List<Operation> failure = [];
    private bool otherwise;

    /// <summary>Adds a condition; all must hold.</summary>
    public TransactionBuilder When(Compare compare)
    {
        compares.Add(compare);
        return this;
    }

    /// <summary>Operations from here on run when a condition does not hold.</summary>
    public TransactionBuilder Otherwise()
    {
        otherwise = true;
        return this;
    }

    /// <summary>Puts a value.</summary>
    public TransactionBuilder Put(ReadOnlyMemory<byte> key, ReadOnlyMemory<byte> value, long lease = 0) => Add(new PutOperation(key, value) { Lease = lease });

    /// <summary>Deletes a range.</summary>
    public TransactionBuilder Delete(KeyRange range) => Add(new DeleteOperation(range));

    /// <summary>Reads a key.</summary>
    public TransactionBuilder Get(ReadOnlyMemory<byte> key) => Add(new RangeOperation(new RangeQuery(KeyRange.Single(key))));

    /// <summary>Reads a range.</summary>
    public TransactionBuilder Range(RangeQuery query) => Add(new RangeOperation(query));

    /// <summary>Nests a transaction.</summary>
    public TransactionBuilder Nested(Transaction transaction) => Add(new NestedOperation(transaction));

    /// <summary>Adds any operation.</summary>
    public TransactionBuilder Add(Operation operation)
    {
        (otherwise ? failure : success).Add(operation);
        return this;
    }

    /// <summary>The transaction.</summary>
    public Transaction Build() => new([.. compares], [.. success], [.. failure]);
}
