using Google.Protobuf;
using Grpc.Core;
using Loom.Server.Etcd.Translation;
using Loom.Store.Model;
using Wire = Loom.Server.Etcd.Protos;

namespace Loom.Server.Tests.Etcd.Translation;

[TestFixture]
internal sealed class RequestTranslationTests
{
    private static readonly ByteString Key = ByteString.CopyFromUtf8("k");

    [Test]
    public void Every_option_of_a_range_arrives()
    {
        RangeQuery query = RequestTranslation.Range(new Wire.RangeRequest
        {
            Key = Key, RangeEnd = ByteString.CopyFromUtf8("z"), Limit = 1, Revision = 2, SortOrder = Wire.RangeRequest.Types.SortOrder.Descend,
            SortTarget = Wire.RangeRequest.Types.SortTarget.Mod, KeysOnly = true, CountOnly = true, MinModRevision = 3, MaxModRevision = 4, MinCreateRevision = 5, MaxCreateRevision = 6,
        });
        Assert.Multiple(() =>
        {
            Assert.That(query.Range.Start.ToArray(), Is.EqualTo("k"u8.ToArray()));
            Assert.That(query.Range.End.ToArray(), Is.EqualTo("z"u8.ToArray()));
            Assert.That((query.Limit, query.Revision, query.SortOrder, query.SortTarget, query.KeysOnly, query.CountOnly), Is.EqualTo((1L, 2L, SortOrder.Descend, SortTarget.Mod, true, true)));
            Assert.That((query.MinModRevision, query.MaxModRevision, query.MinCreateRevision, query.MaxCreateRevision), Is.EqualTo((3L, 4L, 5L, 6L)));
        });
    }

    [Test]
    public void An_unknown_order_sorts_nothing()
    {
        RangeQuery query = RequestTranslation.Range(new Wire.RangeRequest { Key = Key, SortOrder = (Wire.RangeRequest.Types.SortOrder)9, SortTarget = Wire.RangeRequest.Types.SortTarget.Mod });
        Assert.That((query.SortOrder, query.SortTarget), Is.EqualTo((SortOrder.None, SortTarget.Key)));
    }

    [Test]
    public void Faults_of_form_have_etcd_s_code_and_text() => Assert.Multiple(() =>
    {
        Refused(() => RequestTranslation.Range(new Wire.RangeRequest()), "etcdserver: key is not provided");
        Refused(() => RequestTranslation.Range(new Wire.RangeRequest { Key = Key, SortTarget = (Wire.RangeRequest.Types.SortTarget)7 }), "etcdserver: invalid sort option");
        Refused(() => RequestTranslation.Put(new Wire.PutRequest()), "etcdserver: key is not provided");
        Refused(() => RequestTranslation.Put(new Wire.PutRequest { Key = Key, Value = Key, IgnoreValue = true }), "etcdserver: value is provided");
        Refused(() => RequestTranslation.Put(new Wire.PutRequest { Key = Key, Lease = 1, IgnoreLease = true }), "etcdserver: lease is provided");
        Refused(() => RequestTranslation.Delete(new Wire.DeleteRangeRequest()), "etcdserver: key is not provided");
        Refused(() => RequestTranslation.Txn(new Wire.TxnRequest { Success = { new Wire.RequestOp() } }, 128), "etcdserver: key not found");
        Refused(() => RequestTranslation.Txn(new Wire.TxnRequest { Compare = { new Wire.Compare() } }, 128), "etcdserver: key is not provided");
    });

    [Test]
    public void A_nested_transaction_gets_the_operations_that_its_parent_left()
    {
        var inner = new Wire.TxnRequest { Success = { Put("a"), Put("b"), Put("c") } };
        var outer = new Wire.TxnRequest { Success = { Put("x"), new Wire.RequestOp { RequestTxn = inner } } };
        Assert.Multiple(() =>
        {
            Assert.That(() => RequestTranslation.Txn(outer, 5), Throws.Nothing);
            Refused(() => RequestTranslation.Txn(outer, 4), "etcdserver: too many operations in txn request");
        });
    }

    /// <summary>What etcd's compare does with values that its enums do not name.</summary>
    [TestCase(9, 0, null, null)]
    [TestCase(9, 3, CompareTarget.Version, CompareResult.Greater)]
    [TestCase(0, 9, null, null)]
    [TestCase(1, 9, CompareTarget.Version, CompareResult.Less)]
    [TestCase(3, 9, CompareTarget.Version, CompareResult.Less)]
    [TestCase(9, 9, null, null)]
    [TestCase(3, 4, CompareTarget.Lease, CompareResult.NotEqual)]
    public void Compares_outside_of_the_enums_are_etcd_s(int result, int target, CompareTarget? expectedTarget, CompareResult? expectedResult)
    {
        var compare = new Wire.Compare { Key = Key, Result = (Wire.Compare.Types.CompareResult)result, Target = (Wire.Compare.Types.CompareTarget)target };
        Compare? translated = RequestTranslation.Txn(new Wire.TxnRequest { Compare = { compare } }, 128).Compares.SingleOrDefault();
        Assert.That((translated?.Target, translated?.Result), Is.EqualTo((expectedTarget, expectedResult)));
    }

    [Test]
    public void A_mismatched_operand_counts_as_zero()
    {
        var compare = new Wire.Compare { Key = Key, Target = Wire.Compare.Types.CompareTarget.Mod, Version = 5 };
        Assert.That(RequestTranslation.Txn(new Wire.TxnRequest { Compare = { compare } }, 128).Compares.Single().Number, Is.Zero);
    }

    [Test]
    public void Only_serializable_ranges_make_a_transaction_serializable()
    {
        var local = new Wire.RequestOp { RequestRange = new Wire.RangeRequest { Key = Key, Serializable = true } };
        var strict = new Wire.RequestOp { RequestRange = new Wire.RangeRequest { Key = Key } };
        Assert.Multiple(() =>
        {
            Assert.That(RequestTranslation.IsSerializable(new Wire.TxnRequest { Success = { local } }), Is.True);
            Assert.That(RequestTranslation.IsSerializable(new Wire.TxnRequest { Success = { local }, Failure = { strict } }), Is.False);
            Assert.That(RequestTranslation.IsSerializable(new Wire.TxnRequest { Success = { Put("x") } }), Is.False);
        });
    }

    private static Wire.RequestOp Put(string key) => new() { RequestPut = new Wire.PutRequest { Key = ByteString.CopyFromUtf8(key) } };

    private static void Refused(Func<object> translate, string text)
    {
        RpcException exception = Assert.Throws<RpcException>(() => translate())!;
        Assert.That((exception.StatusCode, exception.Status.Detail), Is.EqualTo((StatusCode.InvalidArgument, text)));
    }
}
