using Loom.Raft;
using Loom.Store.Leases;
using NUnit.Framework;

namespace Loom.Store.Tests.Leases;

internal sealed class LeaseTermsTests
{
    private static readonly LeaseTerms Some = new([new(9, 5, 100), new(-3, 5, 200), new(4, 5, 200)]);

    [Test]
    public void Terms_survive_their_bytes() => Assert.That(LeaseTerms.Decode(Bytes(Some)).All, Is.EqualTo(Some.All));

    /// <summary>Whatever the bytes are, it is one exception and nothing else, and no allocation for a count that they do not hold.</summary>
    [Test]
    public void Bytes_that_no_version_wrote_are_refused()
    {
        byte[] good = Bytes(Some);
        for (int length = 0; length < good.Length; length++)
        {
            Assert.That(() => LeaseTerms.Decode(good.AsSpan(0, length)), Refused(RaftErrorCode.Corruption), $"{length} bytes");
        }

        Assert.That(() => LeaseTerms.Decode([.. good, 0]), Refused(RaftErrorCode.Corruption));
        Assert.That(() => LeaseTerms.Decode([2, .. good[1..]]), Refused(RaftErrorCode.CannotOpen));
        Assert.That(() => LeaseTerms.Decode([1, 255, 255, 255, 255]), Refused(RaftErrorCode.Corruption));
        Assert.That(() => LeaseTerms.Decode(Bytes(new([new(4, 5, 200), new(-3, 5, 200)]))), Refused(RaftErrorCode.Corruption), "out of order");
        Assert.That(() => LeaseTerms.Decode(Bytes(new([new(0, 5, 200)]))), Refused(RaftErrorCode.Corruption), "no id");
        Assert.That(() => LeaseTerms.Decode(Bytes(new([new(1, 0, 200)]))), Refused(RaftErrorCode.Corruption), "no time to live");
        Assert.That(() => LeaseTerms.Decode(Bytes(new([new(1, 1, -1)]))), Refused(RaftErrorCode.Corruption), "before time began");
    }

    /// <summary>Terms and records of different states must not come together in silence.</summary>
    [Test]
    public void A_table_that_contradicts_itself_is_not_loaded()
    {
        Assert.That(() => LeaseTable.Load(Some, [("a"u8.ToArray(), 5)]), Refused(RaftErrorCode.Corruption), "a key of no lease");
        Assert.That(() => LeaseTable.Load(new([new(1, 5, 100), new(1, 5, 200)]), []), Refused(RaftErrorCode.Corruption), "one lease twice");
        LeaseTable table = LeaseTable.Load(Some, [("b"u8.ToArray(), 4), ("a"u8.ToArray(), 4), ("c"u8.ToArray(), 9)]);
        Assert.That(table.KeysOf(4).Select(key => (char)key.Span[0]), Is.EqualTo("ab"));
        Assert.That((table.Count, table.Keys, table.NextExpiry, table.LeaseOf("c"u8.ToArray())), Is.EqualTo((3, 3, 100, 9)));
    }

    [Test]
    public void What_is_due_comes_in_its_order_and_in_bounded_parts()
    {
        LeaseTable table = LeaseTable.Load(Some, [.. Enumerable.Range(0, 3).Select(i => ((ReadOnlyMemory<byte>)new[] { (byte)i }, 9L)), ("x"u8.ToArray(), 4)]);
        Assert.That(table.Due(99, 10, 10), Is.Empty);
        Assert.That(table.Due(100, 10, 10), Is.EqualTo(new long[] { 9 }));
        Assert.That(table.Due(200, 10, 10), Is.EqualTo(new long[] { 9, -3, 4 }));
        Assert.That(table.Due(200, 2, 10), Is.EqualTo(new long[] { 9, -3 }));
        Assert.That(table.Due(200, 10, 3), Is.EqualTo(new long[] { 9, -3 }), "a lease whose keys are too many waits");
        Assert.That(table.Due(200, 10, 1), Is.EqualTo(new long[] { 9 }), "but one always goes");
    }

    [Test]
    public void A_lease_that_is_longer_than_time_never_ends()
    {
        Assert.That(LeaseTerm.From(1, LeaseTerm.MaxSeconds, long.MaxValue / 2).Expiry, Is.EqualTo(long.MaxValue));
        Assert.That(LeaseTerm.From(1, 2, 5), Is.EqualTo(new LeaseTerm(1, 2, 2_000_000_005)));
        Assert.That(new LeaseTerm(1, 2, 2_000_000_005).RemainingSeconds(6), Is.EqualTo(1));
        Assert.That(new LeaseTerm(1, 2, 5).RemainingSeconds(6), Is.Zero);
    }

    private static byte[] Bytes(LeaseTerms terms)
    {
        byte[] bytes = new byte[terms.EncodedBytes];
        terms.Encode(bytes);
        return bytes;
    }

    private static NUnit.Framework.Constraints.EqualConstraint<RaftErrorCode> Refused(RaftErrorCode code) => Throws.TypeOf<RaftException>().With.Property("Code").EqualTo(code);
}
