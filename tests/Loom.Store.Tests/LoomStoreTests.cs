using Loom.Raft;
using Loom.Store.Model;
using Loom.Testing;
using NUnit.Framework;
using static Loom.Store.Conditions;

namespace Loom.Store.Tests;

/// <summary>The facade over a node that applies at once: what calls return, and what they throw.</summary>
internal sealed class LoomStoreTests
{
    private static readonly byte[] A = "a"u8.ToArray();
    private static readonly byte[] B = "b"u8.ToArray();

    [Test]
    public async Task A_write_returns_its_revision_and_is_read_in_every_mode()
    {
        await using LoomStore store = ImmediateNode.OpenStore();
        Revision at = await store.PutAsync(A, "1"u8.ToArray());
        Assert.That(at, Is.EqualTo(new Revision(2)));
        foreach (ReadConsistency consistency in (ReadConsistency[])[ReadConsistency.Local, ReadConsistency.AtLeast(at), ReadConsistency.Linearizable])
        {
            KeyValue? pair = await store.GetAsync(A, consistency);
            Assert.That(pair?.Value.ToArray(), Is.EqualTo("1"u8.ToArray()));
            Assert.That((await store.RangeAsync(new RangeQuery(KeyRange.All), consistency)).Count, Is.EqualTo(1));
        }

        Assert.That(store.Get(A)?.ModRevision, Is.EqualTo(2));
        Assert.That(store.Get(B), Is.Null);
        Assert.That(await store.ReadBarrierAsync(), Is.EqualTo(at));
    }

    [Test]
    public async Task Conditions_read_like_the_sentence_they_are()
    {
        await using LoomStore store = ImmediateNode.OpenStore();
        TransactionResult created = await store.TransactAsync(t => t.When(Missing("a")).Put(A, A).Otherwise().Get(A));
        TransactionResult again = await store.TransactAsync(t => t.When(Missing("a")).Put(A, B).Otherwise().Get(A));
        TransactionResult third = await store.TransactAsync(
            t => t.When(Version(A) == 1).When(Version("a") != 2).When(ModRevision(A) < 3).When(CreateRevision(A) > 1).When(ModRevision(A) == created.Revision)
                .When(Value(A) == A).When(Value("a") < B).When(Value(KeyRange.Prefix("a")) != B).When(Value(A) > ReadOnlyMemory<byte>.Empty).When(Lease(A) == 0).When(Exists("a"))
                .Put(A, B).Delete(KeyRange.Single(B)));
        using (Assert.EnterMultipleScope())
        {
            Assert.That(created.Succeeded, Is.True);
            Assert.That(again.Succeeded, Is.False);
            Assert.That(((RangeOperationResult)again.Results[0]).Result.Pairs[0].Value.ToArray(), Is.EqualTo(A));
            Assert.That(third.Succeeded, Is.True);
            Assert.That(third.Revision, Is.EqualTo(new Revision(3)));
            Assert.That(third.Results, Has.Count.EqualTo(2));
        }
    }

    [Test]
    public async Task A_read_only_transaction_takes_no_entry()
    {
        await using LoomStore store = ImmediateNode.OpenStore(out ImmediateNode node);
        await store.PutAsync(A, A);
        long proposals = node.Proposals;
        TransactionResult result = await store.TransactAsync(t => t.When(Exists("a")).Get(A).Otherwise().Get(B));
        Assert.That((result.Succeeded, node.Proposals), Is.EqualTo((true, proposals)));
        Assert.That(async () => await store.TransactAsync(t => t.Range(new RangeQuery(KeyRange.All) { Revision = 99 })), Refused(LoomErrorCode.FutureRevision));
    }

    [Test]
    public async Task Requests_that_can_never_work_are_refused_before_the_log()
    {
        await using LoomStore store = ImmediateNode.OpenStore(out ImmediateNode node);
        Assert.That(async () => await store.PutAsync(default, A), Refused(LoomErrorCode.EmptyKey));
        Assert.That(async () => await store.PutAsync(new PutOperation(A, A) { IgnoreValue = true }), Refused(LoomErrorCode.ValueProvided));
        Assert.That(async () => await store.PutAsync(new PutOperation(A, A) { IgnoreLease = true, Lease = 1 }), Refused(LoomErrorCode.LeaseProvided));
        Assert.That(async () => await store.DeleteAsync(KeyRange.Single(default)), Refused(LoomErrorCode.EmptyKey));
        Assert.That(async () => await store.TransactAsync(t => t.Put(A, A).Put(A, B)), Refused(LoomErrorCode.DuplicateKey));
        Assert.That(async () => await store.TransactAsync(t => { for (int i = 0; i < 129; i++) { t.Get(A); } }), Refused(LoomErrorCode.TooManyOperations));
        Assert.That(async () => await store.PutAsync(A, new byte[1536 * 1024]), Refused(LoomErrorCode.RequestTooLarge));
        Assert.That(async () => await store.PutAsync(new byte[65_536], A), Refused(LoomErrorCode.InvalidRequest));
        Assert.That(() => store.Get(default), Refused(LoomErrorCode.EmptyKey));
        Assert.That(() => store.Range(new RangeQuery(KeyRange.All) { SortTarget = (SortTarget)9 }), Refused(LoomErrorCode.InvalidSort));
        Assert.That(node.Proposals, Is.Zero);
    }

    [Test]
    public async Task Refusals_of_the_machine_carry_their_code_and_what_to_do()
    {
        await using LoomStore store = ImmediateNode.OpenStore();
        Assert.That(async () => await store.PutAsync(A, A, lease: 9), Refused(LoomErrorCode.LeaseNotFound));
        Assert.That(async () => await store.PutAsync(new PutOperation(A, default) { IgnoreValue = true }), Refused(LoomErrorCode.KeyNotFound));
        Assert.That(async () => await store.CompactAsync(new Revision(5)), Refused(LoomErrorCode.FutureRevision));
        Assert.That(() => store.Range(new RangeQuery(KeyRange.All) { Revision = 5 }), Refused(LoomErrorCode.FutureRevision));
        Assert.That(async () => await store.HashAsync(new Revision(5)), Refused(LoomErrorCode.FutureRevision));
    }

    [Test]
    public async Task Compaction_discards_history_and_says_when_it_is_gone()
    {
        await using LoomStore store = ImmediateNode.OpenStore();
        for (int i = 0; i < 3000; i++)
        {
            await store.PutAsync(BitConverter.GetBytes(i % 1500), A);
        }

        Assert.That(await store.CompactAsync(new Revision(3000), physical: true), Is.EqualTo(new Revision(3001)));
        Assert.That(() => store.Range(new RangeQuery(KeyRange.All) { Revision = 2999 }), Refused(LoomErrorCode.Compacted));
        Assert.That(store.Range(new RangeQuery(KeyRange.All) { Revision = 3000, CountOnly = true }).Count, Is.EqualTo(1500));
        LoomStatus status = store.Status;
        using (Assert.EnterMultipleScope())
        {
            Assert.That(status.CompactRevision, Is.EqualTo(3000));
            Assert.That(status.Keys, Is.EqualTo(1500));

            // 3,000 records were written; one of each key is left, and the newest change (at 3,001) replaced one that is still needed at 3,000.
            Assert.That(status.SizeBytes, Is.EqualTo(1501 * (29 + 4 + 1)));
        }
    }

    [Test]
    public async Task Reading_at_least_a_revision_waits_for_it()
    {
        await using LoomStore store = ImmediateNode.OpenStore();
        Task<KeyValue?> read = store.GetAsync(A, ReadConsistency.AtLeast(new Revision(3))).AsTask();
        await store.PutAsync(A, A);
        Assert.That(read.IsCompleted, Is.False);
        await store.PutAsync(A, B);
        Assert.That((await read)?.Value.ToArray(), Is.EqualTo(B));
    }

    [Test]
    public async Task A_revision_that_does_not_come_ends_in_a_deadline_and_cancelling_in_a_cancellation()
    {
        await using LoomStore store = ImmediateNode.OpenStore(out _, new LoomOptions { RequestTimeout = TimeSpan.FromMilliseconds(50) });
        Assert.That(async () => await store.GetAsync(A, ReadConsistency.AtLeast(new Revision(3))), Refused(LoomErrorCode.DeadlineExceeded));
        using var source = new CancellationTokenSource();
        Task<KeyValue?> read = store.GetAsync(A, ReadConsistency.AtLeast(new Revision(3)), source.Token).AsTask();
        await source.CancelAsync();
        Assert.That(async () => await read, Throws.InstanceOf<OperationCanceledException>());
    }

    [TestCase(RaftErrorCode.NoQuorum, WriteOutcome.NotApplied, LoomErrorCode.NoQuorum)]
    [TestCase(RaftErrorCode.Overloaded, WriteOutcome.NotApplied, LoomErrorCode.Overloaded)]
    [TestCase(RaftErrorCode.LeaderChanged, WriteOutcome.NotApplied, LoomErrorCode.LeaderChanged)]
    [TestCase(RaftErrorCode.DeadlineExceeded, WriteOutcome.Unknown, LoomErrorCode.DeadlineExceeded)]
    [TestCase(RaftErrorCode.Failed, WriteOutcome.Unknown, LoomErrorCode.Failed)]
    public async Task Faults_of_the_node_say_what_is_known_of_the_write(RaftErrorCode fault, WriteOutcome outcome, LoomErrorCode code)
    {
        await using LoomStore store = ImmediateNode.OpenStore(out ImmediateNode node);
        node.Fault = _ => new RaftException(fault, "the cause", outcome);
        LoomException thrown = (await Assert.ThrowsAsync<LoomException>(async () => await Catch(store.PutAsync(A, A))))!;
        using (Assert.EnterMultipleScope())
        {
            Assert.That(thrown.Code, Is.EqualTo(code));
            Assert.That(thrown.Outcome, Is.EqualTo(outcome));
            Assert.That(thrown.InnerException is OutcomeUnknownException, Is.EqualTo(outcome == WriteOutcome.Unknown));
            Assert.That(thrown.Message, Does.StartWith($"LOOM{(int)code}: the cause. Outcome of this write: {(outcome == WriteOutcome.Unknown ? "unknown" : "not applied")}."));
        }

        // A read has no outcome to speak of.
        LoomException read = (await Assert.ThrowsAsync<LoomException>(async () => await store.GetAsync(A, ReadConsistency.Linearizable)))!;
        Assert.That((read.Code, read.Outcome, read.Message.Contains("Outcome", StringComparison.Ordinal)), Is.EqualTo((code, WriteOutcome.NotApplied, false)));

        // Local reads go on.
        Assert.That(store.Get(A), Is.Null);
    }

    [Test]
    public async Task A_settled_retry_says_that_its_reads_are_gone()
    {
        await using LoomStore store = ImmediateNode.OpenStore(out ImmediateNode node);
        node.Deduplicates = true;
        PutResult put = await store.PutAsync(new PutOperation(A, A) { PreviousPair = true });
        TransactionResult transaction = await store.TransactAsync(t => t.When(Exists("a")).Put(B, B).Get(A));
        DeleteResult delete = await store.DeleteAsync(KeyRange.All);
        using (Assert.EnterMultipleScope())
        {
            Assert.That((put.Revision.Number, put.Deduplicated), Is.EqualTo((2L, true)));
            Assert.That((transaction.Revision.Number, transaction.Succeeded, transaction.Deduplicated, transaction.Results.Count), Is.EqualTo((3L, true, true, 0)));
            Assert.That((delete.Revision.Number, delete.Deleted, delete.Deduplicated), Is.EqualTo((4L, 2L, true)));
        }
    }

    [Test]
    public async Task A_closed_store_says_so_and_releases_who_waits()
    {
        LoomStore store = ImmediateNode.OpenStore();
        Task<KeyValue?> read = store.GetAsync(A, ReadConsistency.AtLeast(new Revision(3))).AsTask();
        await store.DisposeAsync();
        await store.DisposeAsync();
        Assert.That(async () => await read, Refused(LoomErrorCode.Stopped));
        Assert.That(() => store.Get(A), Refused(LoomErrorCode.Stopped));
        Assert.That(async () => await store.PutAsync(A, A), Refused(LoomErrorCode.Stopped));
    }

    [Test]
    public async Task Transfer_without_a_target_names_the_fix()
    {
        await using LoomStore store = ImmediateNode.OpenStore();
        Assert.That(async () => await store.TransferLeadershipAsync(), Refused(LoomErrorCode.BadMember));
    }

    [Test]
    public async Task All_faults_of_the_options_come_in_one_message()
    {
        var options = new LoomOptions
        {
            Name = " ",
            ElectionTimeout = TimeSpan.FromMilliseconds(10),
            MaxRequestBytes = 5,
            PlacementGoal = Raft.Membership.PlacementGoal.TwoDatacenters,
            InitialCluster = [new InitialMember("x", "east", Raft.Membership.MemberRole.Standby, []), new InitialMember("x", "east", Raft.Membership.MemberRole.Standby, ["http://h:1"])],
        };
        LoomException thrown = (await Assert.ThrowsAsync<LoomException>(async () => await LoomStore.OpenAsync(options)))!;
        Assert.That(thrown.Code, Is.EqualTo(LoomErrorCode.CannotOpen));
        foreach (string part in (string[])["Name is empty", "ElectionTimeout is 10 ms", "MaxRequestBytes is 5", "names 'x' twice", "no peer URL", "PlacementGoal is TwoDatacenters", "does not name this member", "no voter"])
        {
            Assert.That(thrown.Message, Does.Contain(part));
        }
    }

    [System.Diagnostics.CodeAnalysis.SuppressMessage("Performance", "CA1859", Justification = "the last constraint of the chain is not what it stands for")]
    private static NUnit.Framework.Constraints.IResolveConstraint Refused(LoomErrorCode code) =>
        Throws.InstanceOf<LoomException>().With.Property("Code").EqualTo(code).And.Message.StartsWith($"LOOM{(int)code}: ");

    /// <summary>OutcomeUnknownException is a LoomException: wraps it so that one Assert.Throws fits both.</summary>
    private static async Task Catch(ValueTask<Revision> call)
    {
        try
        {
            await call;
        }
        catch (OutcomeUnknownException exception)
        {
            throw new LoomException(exception.Code, exception.Message, exception.Outcome, exception);
        }
    }
}
