using Grpc.Core;
using Loom.Server.Etcd.Translation;
using Loom.Store;

namespace Loom.Server.Tests.Etcd.Translation;

[TestFixture]
internal sealed class EtcdErrorTests
{
    [TestCase(LoomErrorCode.NoQuorum, StatusCode.Unavailable, "etcdserver: no leader")]
    [TestCase(LoomErrorCode.LeaderChanged, StatusCode.Unavailable, "etcdserver: leader changed")]
    [TestCase(LoomErrorCode.Overloaded, StatusCode.ResourceExhausted, "etcdserver: too many requests")]
    [TestCase(LoomErrorCode.Stopped, StatusCode.Unavailable, "etcdserver: server stopped")]
    [TestCase(LoomErrorCode.DeadlineExceeded, StatusCode.Unavailable, "etcdserver: request timed out")]
    [TestCase(LoomErrorCode.Compacted, StatusCode.OutOfRange, "etcdserver: mvcc: required revision has been compacted")]
    [TestCase(LoomErrorCode.FutureRevision, StatusCode.OutOfRange, "etcdserver: mvcc: required revision is a future revision")]
    [TestCase(LoomErrorCode.LeaseNotFound, StatusCode.NotFound, "etcdserver: requested lease not found")]
    [TestCase(LoomErrorCode.KeyNotFound, StatusCode.InvalidArgument, "etcdserver: key not found")]
    [TestCase(LoomErrorCode.DuplicateKey, StatusCode.InvalidArgument, "etcdserver: duplicate key given in txn request")]
    [TestCase(LoomErrorCode.BadMember, StatusCode.FailedPrecondition, "etcdserver: bad leader transferee")]
    [TestCase(LoomErrorCode.Corruption, StatusCode.DataLoss, "etcdserver: corrupt cluster")]
    public void The_store_s_errors_are_etcd_s(LoomErrorCode code, StatusCode status, string text)
    {
        RpcException exception = EtcdError.From(new LoomException(code, "words"));
        Assert.That((exception.StatusCode, exception.Status.Detail, exception.Trailers.GetValue("loom-outcome")), Is.EqualTo((status, text, "not-applied")));
    }

    /// <summary>A definite code for a write that may have happened would be retried: whatever the cause, the answer is etcd's ambiguous one.</summary>
    [Test]
    public void An_unknown_outcome_is_never_a_definite_code([Values] LoomErrorCode code)
    {
        RpcException exception = EtcdError.From(new OutcomeUnknownException(code, "words"));
        Assert.That(
            (exception.StatusCode, exception.Status.Detail, exception.Trailers.GetValue("loom-outcome")),
            Is.EqualTo((StatusCode.Unavailable, "etcdserver: request timed out", "unknown")));
    }
}
