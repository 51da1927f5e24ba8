using System.Globalization;
using System.Text;
using Loom.Store.Model;

namespace Loom.Store.Collections;

/// <summary>
/// What a holder shows with each write, so that whoever stopped being one cannot write any more: the key of its claim and the revision that created it. Tokens of one name are ordered: a later holder's is
/// greater, also over a restore from a backup, which begins a new epoch (but see the remarks); so another system (a file server, a device) may refuse what comes with a smaller one than it has seen.
/// </summary>
/// <remarks>
/// The epoch counts the restores that lie behind a state. Two clusters that are restored from <em>one</em> backup, one after the other, have the same epoch, and the second one's revisions begin where the first one's did: give
/// its restore a larger <c>--bump-revision</c> (<see cref="LoomBackup"/>), more than the first cluster has written, and tokens grow on.
/// </remarks>
/// <param name="Epoch">The epoch of the state (<see cref="LoomStatus.Epoch"/>).</param>
/// <param name="Revision">The claim's create revision.</param>
/// <param name="Key">The claim's key.</param>
public sealed record FencingToken(long Epoch, Revision Revision, ReadOnlyMemory<byte> Key) : IComparable<FencingToken>
{
    /// <inheritdoc/>
    public int CompareTo(FencingToken? other) => other is null ? 1 : Epoch != other.Epoch ? Epoch.CompareTo(other.Epoch) : Revision.CompareTo(other.Revision);

    /// <summary>Same epoch, revision and key.</summary>
    public bool Equals(FencingToken? other) => other is not null && Epoch == other.Epoch && Revision == other.Revision && Key.Span.SequenceEqual(other.Key.Span);

    /// <inheritdoc/>
    public override int GetHashCode() => Revision.Number.GetHashCode();

    /// <summary>Epoch, revision, key: <c>0.17 jobs/694d8c</c>.</summary>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Epoch}.{Revision} {Encoding.UTF8.GetString(Key.Span)}");

    /// <summary>Order of tokens.</summary>
    public static bool operator <(FencingToken left, FencingToken right) => Comparer<FencingToken>.Default.Compare(left, right) < 0;

    /// <summary>Order of tokens.</summary>
    public static bool operator >(FencingToken left, FencingToken right) => Comparer<FencingToken>.Default.Compare(left, right) > 0;

    /// <summary>Order of tokens.</summary>
    public static bool operator <=(FencingToken left, FencingToken right) => Comparer<FencingToken>.Default.Compare(left, right) <= 0;

    /// <summary>Order of tokens.</summary>
    public static bool operator >=(FencingToken left, FencingToken right) => Comparer<FencingToken>.Default.Compare(left, right) >= 0;
}
