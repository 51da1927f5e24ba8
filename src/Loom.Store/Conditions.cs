using System.Diagnostics.CodeAnalysis;
using System.Text;
using Loom.Store.Model;

namespace Loom.Store;

/// <summary>
/// Conditions of transactions, for <c>using static Loom.Store.Conditions;</c>: <c>t => t.When(Version(key) == 3)</c>.
/// A key that does not exist has version, revisions and lease 0; it fails every condition on its value.
/// </summary>
public static class Conditions
{
    /// <summary>The version of a key: 1 at creation, plus one per put; 0 when it does not exist.</summary>
    public static CompareNumber Version(ReadOnlyMemory<byte> key) => new(KeyRange.Single(key), CompareTarget.Version);

    /// <summary>The revision at which a key was created; 0 when it does not exist.</summary>
    public static CompareNumber CreateRevision(ReadOnlyMemory<byte> key) => new(KeyRange.Single(key), CompareTarget.Create);

    /// <summary>The revision of the last change of a key; 0 when it does not exist.</summary>
    public static CompareNumber ModRevision(ReadOnlyMemory<byte> key) => new(KeyRange.Single(key), CompareTarget.Mod);

    /// <summary>The lease of a key; 0 when none.</summary>
    public static CompareNumber Lease(ReadOnlyMemory<byte> key) => new(KeyRange.Single(key), CompareTarget.Lease);

    /// <summary>The value of a key.</summary>
    public static CompareValue Value(ReadOnlyMemory<byte> key) => new(KeyRange.Single(key));

    /// <summary>The version of a key (UTF-8).</summary>
    public static CompareNumber Version(string key) => Version(Encoding.UTF8.GetBytes(key));

    /// <summary>The create revision of a key (UTF-8).</summary>
    public static CompareNumber CreateRevision(string key) => CreateRevision(Encoding.UTF8.GetBytes(key));

    /// <summary>The mod revision of a key (UTF-8).</summary>
    public static CompareNumber ModRevision(string key) => ModRevision(Encoding.UTF8.GetBytes(key));

    /// <summary>The value of a key (UTF-8).</summary>
    public static CompareValue Value(string key) => Value(Encoding.UTF8.GetBytes(key));

    /// <summary>The versions of all keys of a range: the condition must hold for each; an empty range counts as one key that does not exist.</summary>
    public static CompareNumber Version(KeyRange range) => new(range, CompareTarget.Version);

    /// <summary>The create revisions of all keys of a range.</summary>
    public static CompareNumber CreateRevision(KeyRange range) => new(range, CompareTarget.Create);

    /// <summary>The mod revisions of all keys of a range.</summary>
    public static CompareNumber ModRevision(KeyRange range) => new(range, CompareTarget.Mod);

    /// <summary>The values of all keys of a range.</summary>
    public static CompareValue Value(KeyRange range) => new(range);

    /// <summary>The key exists.</summary>
    public static Compare Exists(ReadOnlyMemory<byte> key) => CreateRevision(key) > 0;

    /// <summary>The key exists (UTF-8).</summary>
    public static Compare Exists(string key) => CreateRevision(key) > 0;

    /// <summary>The key does not exist.</summary>
    public static Compare Missing(ReadOnlyMemory<byte> key) => CreateRevision(key) == 0;

    /// <summary>The key does not exist (UTF-8).</summary>
    public static Compare Missing(string key) => CreateRevision(key) == 0;
}

/// <summary>The left side of a condition on a number. There are no ≤ and ≥ in the protocol: use &lt; and &gt;.</summary>
[SuppressMessage("Usage", "CA2231", Justification = "the operators build conditions, they do not compare operands")]
[SuppressMessage("Usage", "CA2225", Justification = "the operators are the notation")]
#pragma warning disable CS0660, CS0661 // the operators build conditions: equality of the struct itself stays the default
public readonly struct CompareNumber
{
    private readonly KeyRange range;
    private readonly CompareTarget target;

    internal CompareNumber(KeyRange range, CompareTarget target)
    {
        this.range = range;
        this.target = target;
    }

    /// <summary>Equal.</summary>
    public static Compare operator ==(CompareNumber left, long right) => left.With(CompareResult.Equal, right);

    /// <summary>Not equal.</summary>
    public static Compare operator !=(CompareNumber left, long right) => left.With(CompareResult.NotEqual, right);

    /// <summary>Less.</summary>
    public static Compare operator <(CompareNumber left, long right) => left.With(CompareResult.Less, right);

    /// <summary>Greater.</summary>
    public static Compare operator >(CompareNumber left, long right) => left.With(CompareResult.Greater, right);

    /// <summary>Equal to a revision.</summary>
    public static Compare operator ==(CompareNumber left, Revision right) => left == right.Number;

    /// <summary>Not equal to a revision.</summary>
    public static Compare operator !=(CompareNumber left, Revision right) => left != right.Number;

    /// <summary>Less than a revision.</summary>
    public static Compare operator <(CompareNumber left, Revision right) => left < right.Number;

    /// <summary>Greater than a revision.</summary>
    public static Compare operator >(CompareNumber left, Revision right) => left > right.Number;

    private Compare With(CompareResult result, long number) => new(range, target, result, number);
}

/// <summary>The left side of a condition on a value: bytes compare as unsigned, a prefix before what it begins.</summary>
[SuppressMessage("Usage", "CA2231", Justification = "the operators build conditions, they do not compare operands")]
[SuppressMessage("Usage", "CA2225", Justification = "the operators are the notation")]
public readonly struct CompareValue
{
    private readonly KeyRange range;

    internal CompareValue(KeyRange range) => this.range = range;

    /// <summary>Equal.</summary>
    public static Compare operator ==(CompareValue left, ReadOnlyMemory<byte> right) => left.With(CompareResult.Equal, right);

    /// <summary>Not equal (and the key exists).</summary>
    public static Compare operator !=(CompareValue left, ReadOnlyMemory<byte> right) => left.With(CompareResult.NotEqual, right);

    /// <summary>Less.</summary>
    public static Compare operator <(CompareValue left, ReadOnlyMemory<byte> right) => left.With(CompareResult.Less, right);

    /// <summary>Greater.</summary>
    public static Compare operator >(CompareValue left, ReadOnlyMemory<byte> right) => left.With(CompareResult.Greater, right);

    private Compare With(CompareResult result, ReadOnlyMemory<byte> value) => new(range, CompareTarget.Value, result, 0, value);
}
#pragma warning restore CS0660, CS0661
