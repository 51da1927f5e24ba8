using Loom.Store.Collections;
using Loom.Store.Model;
using Loom.Testing;
using NUnit.Framework;
using static Loom.Store.Conditions;

namespace Loom.Store.Tests.Collections;

/// <summary>Transactions under a fence answer as without it while it stands, and change nothing when it has fallen.</summary>
internal sealed class FencedStoreTests
{
    private static readonly byte[] A = "a"u8.ToArray();
    private static readonly byte[] B = "b"u8.ToArray();
    private static readonly byte[] Claim = "jobs/1"u8.ToArray();

    /// <summary>Goal: the fence is invisible while it stands. Method: random transactions on two stores, under a fence on one of them, every answer compared; then the same ones with the fence down.</summary>
    [Test]
    public async Task A_transaction_under_a_fence_that_stands_answers_as_without_and_one_whose_fence_fell_changes_nothing([Values(1, 2, 3, 4)] int seed)
    {
        var random = new Random(seed);
        await using LoomStore plain = ImmediateNode.OpenStore();
        await using LoomStore guarded = ImmediateNode.OpenStore();
        await plain.PutAsync(Claim, default);
        FencedStore fenced = new(guarded, new FencingToken(0, await guarded.PutAsync(Claim, default), Claim));
        for (int i = 0; i < 150; i++)
        {
            Transaction transaction = Random(random, depth: 0);
            string expected = Text(await AnswerAsync(() => plain.TransactAsync(transaction)));
            Assert.That(Text(await AnswerAsync(() => fenced.TransactAsync(transaction))), Is.EqualTo(expected), $"seed {seed}, {i}");
        }

        Assert.That(guarded.Status.Revision, Is.EqualTo(plain.Status.Revision));
        await guarded.DeleteAsync(KeyRange.Single(Claim));
        await guarded.PutAsync(Claim, default);
        Revision last = guarded.Status.Revision;
        for (int i = 0; i < 150; i++)
        {
            Transaction transaction = Random(random, depth: 0);
            if (await AnswerAsync(() => plain.TransactAsync(transaction)) is not LoomErrorCode.DuplicateKey)
            {
                Assert.That(async () => await fenced.TransactAsync(transaction), Throws.TypeOf<FenceLostException>(), $"seed {seed}, {i}");
            }
        }

        Assert.That(guarded.Status.Revision, Is.EqualTo(last));
    }

    [Test]
    public async Task Puts_and_deletes_answer_as_without_a_fence()
    {
        await using LoomStore store = ImmediateNode.OpenStore();
        FencedStore fenced = new(store, new FencingToken(0, await store.PutAsync(Claim, default), Claim));
        Assert.That(await fenced.PutAsync(A, A), Is.EqualTo(new Revision(3)));
        PutResult put = await fenced.PutAsync(new PutOperation(A, B) { PreviousPair = true });
        Assert.That((put.Revision.Number, put.Previous!.Value.ToArray(), put.Deduplicated), Is.EqualTo((4L, A, false)));
        DeleteResult delete = await fenced.DeleteAsync(new DeleteOperation(KeyRange.Single(A)) { PreviousPairs = true });
        Assert.That((delete.Revision.Number, delete.Deleted, delete.Previous.Single().Value.ToArray()), Is.EqualTo((5L, 1L, B)));
        Assert.That((await fenced.DeleteAsync(KeyRange.Single(A))).Deleted, Is.Zero);
        TransactionResult built = await fenced.TransactAsync(t => t.When(Missing(A)).Put(A, A));
        Assert.That((built.Succeeded, built.Revision.Number, built.Results.Count), Is.EqualTo((true, 6L, 1)));
        Assert.That(async () => await fenced.PutAsync(A, A, lease: 77), Throws.InstanceOf<LoomException>().With.Property("Code").EqualTo(LoomErrorCode.LeaseNotFound), "the fence stands; the lease does not");
    }

    /// <summary>One of 128 conditions and one of the failure branch's operations are the fence's.</summary>
    [Test]
    public async Task The_fence_takes_one_of_the_128_conditions()
    {
        await using LoomStore store = ImmediateNode.OpenStore();
        FencedStore fenced = new(store, new FencingToken(0, await store.PutAsync(Claim, default), Claim));
        Compare[] holds = [.. Enumerable.Repeat(Missing(A), 127)];
        Operation[] reads = [.. Enumerable.Repeat<Operation>(new RangeOperation(new RangeQuery(KeyRange.Single(A))), 127)];
        Operation[] writes = [.. Enumerable.Range(0, 128).Select(i => new PutOperation(new byte[] { 1, (byte)i }, A))];
        Assert.That((await fenced.TransactAsync(new Transaction(holds, writes, reads))).Succeeded, Is.True);
        TransactionResult other = await fenced.TransactAsync(new Transaction([Exists(A)], writes, reads));
        Assert.That((other.Succeeded, other.Results.Count), Is.EqualTo((false, 127)));
        Assert.That(async () => await fenced.TransactAsync(new Transaction([.. holds, holds[0]], writes, reads)), TooMany());
        Assert.That(async () => await fenced.TransactAsync(new Transaction(holds, writes, [.. reads, reads[0]])), TooMany());

        // A failure branch that writes is nested: it shares the 128 with the longest list above it.
        Assert.That((await fenced.TransactAsync(new Transaction([Exists(A)], [], writes[..126]))).Results, Has.Count.EqualTo(126));
        Assert.That(async () => await fenced.TransactAsync(new Transaction([Exists(A), Exists(A)], [], writes[..126])), TooMany());
    }

    /// <summary>The node's own retry met its first application (P2): of a write only the outcome is left. Whether the fence held is known all the same, or it is said that it is not.</summary>
    [Test]
    public async Task An_answer_whose_results_are_lost_still_says_whether_the_fence_held()
    {
        await using LoomStore store = ImmediateNode.OpenStore(out ImmediateNode node);
        FencedStore fenced = new(store, new FencingToken(0, await store.PutAsync(Claim, default), Claim));
        node.Deduplicates = true;
        Transaction reads = new([Exists(A)], [new PutOperation(B, B)], [new RangeOperation(new RangeQuery(KeyRange.Single(A)))]);
        Transaction writes = new([Exists(A)], [new PutOperation(B, B)], [new PutOperation(B, A)]);
        Assert.That(await fenced.PutAsync(B, B), Is.EqualTo(new Revision(3)));
        Assert.That((await fenced.DeleteAsync(KeyRange.Single(B))).Deduplicated, Is.True);
        Assert.That(await fenced.TransactAsync(reads), Has.Property("Succeeded").EqualTo(false).And.Property("Deduplicated").EqualTo(true));
        Assert.That((await fenced.TransactAsync(writes)).Succeeded, Is.False);
        Assert.That(store.Get(B)!.Value.ToArray(), Is.EqualTo(A));
        await store.DeleteAsync(KeyRange.Single(Claim));
        Assert.That(async () => await fenced.PutAsync(B, B), Throws.TypeOf<FenceLostException>());
        Assert.That(async () => await fenced.TransactAsync(reads), Throws.TypeOf<FenceLostException>());
        Assert.That(async () => await fenced.TransactAsync(writes), Throws.TypeOf<OutcomeUnknownException>());
    }

    [Test]
    public void Tokens_are_ordered_by_epoch_and_then_by_revision()
    {
        FencingToken[] tokens = [new(0, new Revision(5), A), new(0, new Revision(7), B), new(1, new Revision(2), A)];
        Assert.That(tokens, Is.Ordered);
        Assert.That((tokens[0] < tokens[1], tokens[2] > tokens[1], tokens[0] <= tokens[0], tokens[0] >= tokens[1]), Is.EqualTo((true, true, true, false)));
        Assert.That(tokens[0], Is.EqualTo(new FencingToken(0, new Revision(5), "a"u8.ToArray())).And.Not.EqualTo(tokens[0] with { Key = B }));
        Assert.That(tokens[2].ToString(), Is.EqualTo("1.2 a"));
    }

    private static Transaction Random(Random random, int depth) => new(
        [.. Enumerable.Range(0, random.Next(3)).Select(_ => Condition(random))],
        [.. Enumerable.Range(0, random.Next(3)).Select(i => Operation(random, depth, i))],
        [.. Enumerable.Range(0, random.Next(3)).Select(i => Operation(random, depth, i))]);

    private static Compare Condition(Random random) => random.Next(3) switch
    {
        0 => Version(Pick(random)) == random.Next(3),
        1 => Missing(Pick(random)),
        _ => Value(Pick(random)) == A,
    };

    private static Operation Operation(Random random, int depth, int i) => random.Next(depth < 2 ? 4 : 3) switch
    {
        0 => new PutOperation(new byte[] { (byte)'k', (byte)random.Next(3), (byte)i }, Pick(random)) { PreviousPair = random.Next(2) == 0 },
        1 => new DeleteOperation(KeyRange.Single(Pick(random))) { PreviousPairs = true },
        2 => new RangeOperation(new RangeQuery(KeyRange.All)),
        _ => new NestedOperation(Random(random, depth + 1)),
    };

    private static byte[] Pick(Random random) => random.Next(3) switch { 0 => A, 1 => B, _ => [(byte)'k', (byte)random.Next(3), (byte)random.Next(3)] };

    private static async Task<object> AnswerAsync(Func<ValueTask<TransactionResult>> call)
    {
        try
        {
            return await call();
        }
        catch (LoomException exception)
        {
            Assert.That(exception, Is.Not.TypeOf<FenceLostException>());
            return exception.Code;
        }
    }

    private static string Text(object? answer) => answer switch
    {
        TransactionResult result => $"[{result.Revision} {result.Succeeded} {result.Deduplicated}: {string.Join(", ", result.Results.Select(Text))}]",
        NestedResult nested => Text(nested.Result),
        PutResult put => $"put {put.Revision} {Text(put.Previous)}",
        DeleteResult delete => $"del {delete.Revision} {delete.Deleted} {string.Join(' ', delete.Previous.Select(Text))}",
        RangeOperationResult range => $"range {range.Result.Revision} {range.Result.Count} {string.Join(' ', range.Result.Pairs.Select(Text))}",
        KeyValue pair => $"{Convert.ToHexString(pair.Key.Span)}={Convert.ToHexString(pair.Value.Span)}@{pair.CreateRevision}.{pair.ModRevision}.{pair.Version}",
        null => "-",
        _ => answer.ToString()!,
    };

    private static NUnit.Framework.Constraints.EqualConstraint<LoomErrorCode> TooMany() => Throws.InstanceOf<LoomException>().With.Property("Code").EqualTo(LoomErrorCode.TooManyOperations);
}
