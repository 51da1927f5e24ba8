using System.Globalization;
using Google.Protobuf;
using Grpc.Core;
using Loom.Server.Etcd.Protos;
using Loom.Server.Tests.Hosting;
using Loom.Testing;
using static Loom.Server.Etcd.Protos.RangeRequest.Types;

namespace Loom.Server.Tests.Etcd;

/// <summary>
/// Goal: equal answers. Method: the same random calls at a new etcd and a new node, every field of every answer and every error's code and text compared; HashKV, which covers every key, value and
/// revision of a history, now and then and at the end. 600 calls, or 6,000 where programs to compare with are required (CI) or LOOM_CALLS says how many. The seed is printed; LOOM_SEED repeats one.
/// </summary>
[TestFixture]
internal sealed class CallDifferentialTests
{
    [Test]
    public async Task Random_calls_get_etcd_s_answers()
    {
        int seed = Number("LOOM_SEED", Random.Shared.Next());
        int calls = Number("LOOM_CALLS", TestRun.RequiresPrograms ? 6_000 : 600);
        TestContext.Out.WriteLine($"LOOM_SEED={seed}");
        using EtcdProcess etcd = await EtcdProcess.StartAsync();
        await using TestNode node = await TestNode.StartAsync();
        CallInvoker[] servers = [etcd.Channel.CreateCallInvoker(), node.Channel.CreateCallInvoker()];
        var random = new RandomCalls(seed);
        long revision = 1, compacted = -1;
        int refused = 0;
        for (int call = 0; call < calls; call++)
        {
            IMessage request = call == calls - 1 ? new HashKVRequest() : random.Next(revision, compacted);
            if (Deviates(request, compacted))
            {
                continue;
            }

            Answer[] answers = await Task.WhenAll(servers.Select(server => AnswerAsync(server, request)));
            Assert.That(answers[1].Text, Is.EqualTo(answers[0].Text), $"call {call} of seed {seed}: {request.Descriptor.Name} {request}");
            revision = Math.Max(revision, answers[1].Revision);
            refused += answers[1].Revision == 0 ? 1 : 0;
            compacted = request is CompactionRequest compaction && answers[1].Revision > 0 ? compaction.Revision : compacted;
        }

        Assert.That(revision, Is.GreaterThan(calls / 5), "the calls did something");
        Assert.That(refused, Is.InRange(calls / 100, calls / 2), "some were refused, and not too many");
    }

    /// <summary>Where etcd 3.4 and late 3.5 differ, by docs/etcd-compatibility.md: HashKV at the compacted revision is refused by the first and answered by the second, and by us.</summary>
    private static bool Deviates(IMessage request, long compacted) => request is HashKVRequest { Revision: > 0 } hash && hash.Revision == compacted;

    private static int Number(string variable, int otherwise) => int.TryParse(Environment.GetEnvironmentVariable(variable), CultureInfo.InvariantCulture, out int given) ? given : otherwise;

    private static async Task<Answer> AnswerAsync(CallInvoker server, IMessage request)
    {
        try
        {
            // The header's ids differ; everything else is compared, the revision too.
            IMessage answer = await Transcript.CallAsync(server, request);
            var header = (ResponseHeader)answer.Descriptor.FindFieldByNumber(1).Accessor.GetValue(answer);
            header.ClusterId = header.MemberId = header.RaftTerm = 0;
            WithoutTies(request, answer);
            return new(answer.ToString()!, header.Revision);
        }
        catch (RpcException exception)
        {
            return new($"{exception.StatusCode}: {exception.Status.Detail}", 0);
        }
    }

    /// <summary>Go's sort is not stable: pairs that are equal in what was sorted by may come in any order, and a limit may cut between any of them.</summary>
    private static void WithoutTies(IMessage request, IMessage answer)
    {
        switch (request, answer)
        {
            case (RangeRequest range, RangeResponse response):
                WithoutTies(range, response);
                break;
            case (TxnRequest txn, TxnResponse response):
                foreach ((RequestOp operation, ResponseOp result) in (response.Succeeded ? txn.Success : txn.Failure).Zip(response.Responses))
                {
                    WithoutTies((IMessage)operation.RequestRange ?? operation.RequestTxn, (IMessage)result.ResponseRange ?? result.ResponseTxn);
                }

                break;
        }
    }

    private static void WithoutTies(RangeRequest range, RangeResponse response)
    {
        if (range.SortTarget == SortTarget.Key)
        {
            return;
        }

        KeyValue[] ordered = range.Limit > 0
            ? [.. response.Kvs.Select(pair => SortedBy(range.SortTarget, pair))]
            : [.. Runs(range.SortTarget, response.Kvs).SelectMany(run => run.OrderBy(pair => pair.Key.ToStringUtf8(), StringComparer.Ordinal))];
        response.Kvs.Clear();
        response.Kvs.Add(ordered);
    }

    private static IEnumerable<List<KeyValue>> Runs(SortTarget target, IEnumerable<KeyValue> pairs)
    {
        List<KeyValue> run = [];
        foreach (KeyValue pair in pairs)
        {
            if (run.Count > 0 && !SortedBy(target, run[0]).Equals(SortedBy(target, pair)))
            {
                yield return run;
                run = [];
            }

            run.Add(pair);
        }

        yield return run;
    }

    private static KeyValue SortedBy(SortTarget target, KeyValue pair) => target switch
    {
        SortTarget.Version => new() { Version = pair.Version },
        SortTarget.Create => new() { CreateRevision = pair.CreateRevision },
        SortTarget.Mod => new() { ModRevision = pair.ModRevision },
        _ => new() { Value = pair.Value },
    };

    /// <param name="Text">The answer, or the error's code and text.</param>
    /// <param name="Revision">Of its header; 0: an error.</param>
    private sealed record Answer(string Text, long Revision);
}
