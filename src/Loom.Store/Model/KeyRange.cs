namespace Loom.Store.Model;

/// <summary>
/// A range of keys in etcd's encoding: <paramref name="End"/> empty = the one key <paramref name="Start"/>; End = one zero byte = all keys ≥ Start; else [Start, End).
/// </summary>
/// <param name="Start">First key; must not be empty.</param>
/// <param name="End">See above. An End ≤ Start is an empty range, not an error.</param>
public readonly record struct KeyRange(ReadOnlyMemory<byte> Start, ReadOnlyMemory<byte> End)
{
    private static readonly byte[] Zero = [0];

    /// <summary>All keys.</summary>
    public static KeyRange All => new(Zero, Zero);

    /// <summary>One key.</summary>
    public static KeyRange Single(ReadOnlyMemory<byte> key) => new(key, default);

    /// <summary>All keys ≥ <paramref name="start"/>.</summary>
    public static KeyRange From(ReadOnlyMemory<byte> start) => new(start, Zero);

    /// <summary>All keys that begin with <paramref name="prefix"/>; an empty prefix is all keys.</summary>
    public static KeyRange Prefix(ReadOnlyMemory<byte> prefix)
    {
        if (prefix.IsEmpty)
        {
            return All;
        }

        for (int i = prefix.Length - 1; i >= 0; i--)
        {
            if (prefix.Span[i] != 0xFF)
            {
                byte[] end = prefix[..(i + 1)].ToArray();
                end[i]++;
                return new(prefix, end);
            }
        }

        return From(prefix);
    }

    /// <summary>All keys that begin with <paramref name="prefix"/> in UTF-8.</summary>
    public static KeyRange Prefix(string prefix) => Prefix(System.Text.Encoding.UTF8.GetBytes(prefix));

    /// <summary>True when the range is one key.</summary>
    public bool IsSingle => End.IsEmpty;
}
