namespace Loom.Store.Mvcc;

/// <summary>Sums over a set of records, in any order.</summary>
/// <param name="Hash">The content hash (S5): the 128-bit sum of the records' 64-bit hashes.</param>
/// <param name="Records">How many.</param>
/// <param name="Bytes">Bytes of them, without what a store puts around each.</param>
internal readonly record struct ContentSums(UInt128 Hash, long Records, long Bytes)
{
    public ContentSums With(in RecordMark mark) => new(unchecked(Hash + mark.Hash), Records + 1, Bytes + mark.Bytes);

    public ContentSums Without(in RecordMark mark) => new(unchecked(Hash - mark.Hash), Records - 1, Bytes - mark.Bytes);

    public ContentSums Without(in ContentSums other) => new(unchecked(Hash - other.Hash), Records - other.Records, Bytes - other.Bytes);
}
