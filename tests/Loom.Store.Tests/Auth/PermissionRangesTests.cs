using CsCheck;
using Loom.Store.Auth;
using Loom.Store.Model;
using Loom.Store.Mvcc;
using NUnit.Framework;

namespace Loom.Store.Tests.Auth;

/// <summary>
/// Goal: a range is permitted exactly when every key in it is. Method: keys of up to two letters out of three; a range is compared with the keys that it holds one by one, of which there are enough
/// that two ranges that differ hold different ones.
/// </summary>
internal sealed class PermissionRangesTests
{
    private static readonly byte[][] Keys = [.. Strings(3)];
    private static readonly Gen<byte[]> Key = Gen.Int[0, 3].Array[1, 2].Select(letters => letters.Select(letter => (byte)letter).ToArray());

    private static readonly Gen<KeyRange> AnyRange = Gen.Select(Key, Key, Gen.Int[0, 3], (start, end, form) => form switch
    {
        0 => KeyRange.Single(start),
        1 => KeyRange.From(start),
        _ => new KeyRange(start, end),
    });

    private static readonly Gen<Permission> AnyPermission = Gen.Select(AnyRange.Where(range => !range.IsEmpty()), Gen.Int[0, 2], (range, kind) => new Permission((PermissionKind)kind, range));

    [Test]
    public void A_range_is_permitted_when_all_its_keys_are() => Gen.Select(AnyPermission.Array[0, 5], AnyRange).Sample(
        (permissions, range) =>
        {
            var ranges = PermissionRanges.Of(permissions);
            return ranges.MayRead(range) == Expected(permissions, range, PermissionKind.Read) && ranges.MayWrite(range) == Expected(permissions, range, PermissionKind.Write);
        },
        iter: 50_000,
        threads: 1);

    /// <summary>etcd's grants are joined: two that touch permit a range over both.</summary>
    [Test]
    public void Ranges_that_touch_are_one_and_a_gap_of_one_key_is_a_gap()
    {
        Permission[] touching = [Read("a", "b"), Read("b", "c")];
        Assert.That(PermissionRanges.Of(touching).MayRead(new KeyRange("a"u8.ToArray(), "c"u8.ToArray())), Is.True);
        Permission[] apart = [Read("a", "b"), Read("b\0", "c")];
        Assert.That(PermissionRanges.Of(apart).MayRead(new KeyRange("a"u8.ToArray(), "c"u8.ToArray())), Is.False);
        Permission[] filled = [.. apart, new(PermissionKind.Read, KeyRange.Single("b"u8.ToArray()))];
        Assert.That(PermissionRanges.Of(filled).MayRead(new KeyRange("a"u8.ToArray(), "c"u8.ToArray())), Is.True);
        Assert.That(PermissionRanges.Of(filled).MayRead(KeyRange.From("a"u8.ToArray())), Is.False);
        Assert.That(PermissionRanges.Of(filled).MayWrite(KeyRange.Single("a"u8.ToArray())), Is.False);
        Assert.That(PermissionRanges.Of([]).MayRead(KeyRange.Single("a"u8.ToArray())), Is.False);
        Assert.That(PermissionRanges.Of([new(PermissionKind.ReadWrite, KeyRange.All)]).MayWrite(KeyRange.All), Is.True);
    }

    /// <summary>The same as asking for each of them.</summary>
    [Test]
    public void A_set_of_keys_is_permitted_when_each_of_them_is() => Gen.Select(AnyPermission.Array[0, 5], Gen.Select(Key, Gen.Byte[0, 3], (start, end) => (byte[])[.. start, end]).Array[0, 4]).Sample(
        (permissions, keys) =>
        {
            var ranges = PermissionRanges.Of(permissions);
            SortedSet<ReadOnlyMemory<byte>> set = new(keys.Select(key => (ReadOnlyMemory<byte>)key), ByteOrder.Instance);
            return ranges.MayReadAll(set) == keys.All(key => ranges.MayRead(KeyRange.Single(key))) && ranges.MayWriteAll(set) == keys.All(key => ranges.MayWrite(KeyRange.Single(key)));
        },
        iter: 50_000,
        threads: 1);

    /// <summary>Goal: who attaches many keys to a lease makes nobody look at all of them for each put. Method: the comparisons of keys are counted; one look at each would be thousands.</summary>
    [Test]
    public void A_set_of_keys_is_judged_from_span_to_span()
    {
        var order = new CountedOrder();
        SortedSet<ReadOnlyMemory<byte>> keys = new(Enumerable.Range(0, 4000).Select(i => (ReadOnlyMemory<byte>)System.Text.Encoding.ASCII.GetBytes($"a/{i:D4}")), order);
        var ranges = PermissionRanges.Of([Read("a/", "a/2"), Read("a/20", "a0"), new(PermissionKind.Write, KeyRange.Prefix("a/0"u8.ToArray()))]);
        order.Count = 0;
        Assert.That((ranges.MayReadAll(keys), ranges.MayWriteAll(keys)), Is.EqualTo((true, false)));
        Assert.That(order.Count, Is.LessThan(200));
    }

    private sealed class CountedOrder : IComparer<ReadOnlyMemory<byte>>
    {
        public int Count { get; set; }

        public int Compare(ReadOnlyMemory<byte> x, ReadOnlyMemory<byte> y)
        {
            Count++;
            return ByteOrder.Instance.Compare(x, y);
        }
    }

    private static Permission Read(string start, string end) => new(PermissionKind.Read, new KeyRange(System.Text.Encoding.ASCII.GetBytes(start), System.Text.Encoding.ASCII.GetBytes(end)));

    /// <summary>An empty range holds no key, and is permitted where its start is.</summary>
    private static bool Expected(Permission[] permissions, KeyRange range, PermissionKind kind)
    {
        bool Permits(byte[] key) => permissions.Any(one => (one.Kind == kind || one.Kind == PermissionKind.ReadWrite) && one.Range.Contains(key));
        return range.IsEmpty() ? Permits(range.Start.ToArray()) : Keys.Where(key => range.Contains(key)).All(Permits);
    }

    /// <summary>All strings of up to so many letters out of 0 to 3, a fourth for what comes after all of them: beyond the ends of ranges, and between any two.</summary>
    private static IEnumerable<byte[]> Strings(int length) =>
        length == 0 ? [[]] : Strings(length - 1).SelectMany(rest => Enumerable.Range(0, 5).Select(letter => (byte[])[(byte)letter, .. rest])).Concat(Strings(length - 1)).DistinctBy(Convert.ToHexString).Where(key => key.Length > 0 || length > 1);
}
