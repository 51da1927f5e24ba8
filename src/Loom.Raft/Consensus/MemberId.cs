namespace Loom.Raft.Consensus;

/// <summary>Identity of one life of one data directory (E1). Zero is nobody.</summary>
/// <param name="Value">Nonzero for every real member; shown in hexadecimal, as etcd does.</param>
public readonly record struct MemberId(ulong Value) : IComparable<MemberId>
{
    /// <summary>Nobody.</summary>
    public static readonly MemberId None;

    /// <summary>True for <see cref="None"/>.</summary>
    public bool IsNone => Value == 0;

    /// <inheritdoc/>
    public int CompareTo(MemberId other) => Value.CompareTo(other.Value);

    /// <summary>Sixteen or fewer hexadecimal digits, as etcd prints member ids.</summary>
    public override string ToString() => Value.ToString("x", System.Globalization.CultureInfo.InvariantCulture);

    /// <summary>Order by value.</summary>
    public static bool operator <(MemberId left, MemberId right) => left.Value < right.Value;

    /// <summary>Order by value.</summary>
    public static bool operator >(MemberId left, MemberId right) => left.Value > right.Value;

    /// <summary>Order by value.</summary>
    public static bool operator <=(MemberId left, MemberId right) => left.Value <= right.Value;

    /// <summary>Order by value.</summary>
    public static bool operator >=(MemberId left, MemberId right) => left.Value >= right.Value;
}
