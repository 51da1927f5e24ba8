using Loom.Store.Model;
using Loom.Store.Mvcc;

namespace Loom.Store.Machine;

/// <summary>
/// etcd's check for keys written twice, in both branches, taken or not: no key is put twice, nor put and deleted, at one level or across nesting;
/// the two branches of one nested transaction exclude each other and may put the same key; overlapping deletes are fine.
/// As in etcd, a delete of "everything from a key on" (End = one zero byte) conflicts with nothing.
/// </summary>
internal static class DuplicateKeys
{
    public static bool Has(Transaction transaction) =>
        !TryCollect(transaction.Success, out _, out _) || !TryCollect(transaction.Failure, out _, out _);

    private static bool TryCollect(IReadOnlyList<Operation> operations, out SortedSet<ReadOnlyMemory<byte>> puts, out List<KeyRange> deletes)
    {
        puts = new(ByteOrder.Instance);
        deletes = [];

        // Deletes of this level first: puts nested below it must not meet them either.
        foreach (Operation operation in operations)
        {
            if (operation is DeleteOperation delete && !delete.Range.IsOpenEnded())
            {
                deletes.Add(delete.Range);
            }
        }

        foreach (Operation operation in operations)
        {
            if (operation is NestedOperation nested && !TryAddNested(nested.Transaction, puts, deletes))
            {
                return false;
            }
        }

        foreach (Operation operation in operations)
        {
            if (operation is PutOperation put && (Deletes(deletes, put.Key) || !puts.Add(put.Key)))
            {
                return false;
            }
        }

        return true;
    }

    private static bool TryAddNested(Transaction nested, SortedSet<ReadOnlyMemory<byte>> puts, List<KeyRange> deletes)
    {
        if (!TryCollect(nested.Success, out SortedSet<ReadOnlyMemory<byte>> thenPuts, out List<KeyRange> thenDeletes)
            || !TryCollect(nested.Failure, out SortedSet<ReadOnlyMemory<byte>> elsePuts, out List<KeyRange> elseDeletes))
        {
            return false;
        }

        foreach (ReadOnlyMemory<byte> key in thenPuts)
        {
            if (Deletes(deletes, key) || !puts.Add(key))
            {
                return false;
            }
        }

        foreach (ReadOnlyMemory<byte> key in elsePuts)
        {
            if (Deletes(deletes, key) || (!puts.Add(key) && !thenPuts.Contains(key)))
            {
                return false;
            }
        }

        deletes.AddRange(thenDeletes);
        deletes.AddRange(elseDeletes);
        return true;
    }

    private static bool Deletes(List<KeyRange> deletes, ReadOnlyMemory<byte> key)
    {
        foreach (KeyRange range in deletes)
        {
            if (range.Contains(key.Span))
            {
                return true;
            }
        }

        return false;
    }
}
