namespace Loom.Store.Model;

/// <summary>Number of a committed write transaction, etcd's main revision: an empty store is at 1, each transaction that changes something adds one.</summary>
/// <param name="Number">The revision; 0 means "the newest" in queries.</param>
public readonly record struct Revision(long Number) : IComparable<Revision>
{
    /// <summary>The revision after this one.</summary>
    public Revision Next => new(Number + 1);

    /// <inheritdoc/>
    public int CompareTo(Revision other) => Number.CompareTo(other.Number);

    /// <summary>Order by number.</summary>
    public static bool operator <(Revision left, Revision right) => left.Number < right.Number;

    /// <summary>Order by number.</summary>
    public static bool operator >(Revision left, Revision right) => left.Number > right.Number;

    /// <summary>Order by number.</summary>
    public static bool operator <=(Revision left, Revision right) => left.Number <= right.Number;

    /// <summary>Order by number.</summary>
    public static bool operator >=(Revision left, Revision right) => left.Number >= right.Number;

    /// <summary>The number.</summary>
    public override string ToString() => Number.ToString(System.Globalization.CultureInfo.InvariantCulture);
}
