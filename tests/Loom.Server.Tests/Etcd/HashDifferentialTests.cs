using Google.Protobuf;
using Grpc.Core;
using Loom.Server.Etcd.Protos;
using Loom.Server.Tests.Hosting;

namespace Loom.Server.Tests.Etcd;

/// <summary>
/// Goal: equal histories. Method: the same random writes, leases and compactions on a new etcd and a new node; HashKV covers every key, value and revision of a history, so
/// equal hashes at many revisions mean equal stores. The seed is printed; LOOM_SEED repeats one.
/// </summary>
[TestFixture]
internal sealed class HashDifferentialTests
{
    private const int Steps = 400;

    [Test]
    public async Task Random_histories_have_etcd_s_hashes()
    {
        int seed = int.TryParse(Environment.GetEnvironmentVariable("LOOM_SEED"), out int given) ? given : Random.Shared.Next();
        TestContext.Out.WriteLine($"LOOM_SEED={seed}");
        using EtcdProcess etcd = await EtcdProcess.StartAsync();
        await using TestNode node = await TestNode.StartAsync();
        CallInvoker[] servers = [etcd.Channel.CreateCallInvoker(), node.Channel.CreateCallInvoker()];
        var random = new Random(seed);
        long revision = 1;
        long compacted = 0;
        for (int step = 0; step < Steps; step++)
        {
            IMessage request = Next(random, revision, step);
            if (request is HashKVRequest { Revision: > 0 } hash && hash.Revision == compacted)
            {
                // The one place where etcd 3.4 (refuses) and late 3.5 (answers, as we do) differ: docs/etcd-compatibility.md.
                continue;
            }

            string[] answers = await Task.WhenAll(servers.Select(s => AnswerAsync(s, request)));
            Assert.That(answers[1], Is.EqualTo(answers[0]), $"step {step} of seed {seed}: {request}");
            compacted = request is CompactionRequest compaction ? Math.Max(compacted, compaction.Revision) : compacted;
            revision = ((RangeResponse)await Transcript.CallAsync(servers[1], new RangeRequest { Key = Key(0), Serializable = true })).Header.Revision;
        }
    }

    private static async Task<string> AnswerAsync(CallInvoker server, IMessage request)
    {
        try
        {
            // The header's ids differ; everything else is compared, the revision too.
            IMessage answer = await Transcript.CallAsync(server, request);
            var header = (ResponseHeader)answer.Descriptor.FindFieldByNumber(1).Accessor.GetValue(answer);
            header.ClusterId = header.MemberId = header.RaftTerm = 0;
            return answer.ToString()!;
        }
        catch (RpcException exception)
        {
            return $"{exception.StatusCode}: {exception.Status.Detail}";
        }
    }

    private static IMessage Next(Random random, long revision, int step)
    {
        if (step % 10 == 9)
        {
            return new HashKVRequest { Revision = step == Steps - 1 ? 0 : random.NextInt64(Math.Max(1, revision - 30), revision + 1) };
        }

        return random.Next(25) switch
        {
            < 8 => Put(random),
            < 11 => Delete(random),
            < 15 => Txn(random, 2),
            < 18 => Range(random, revision),
            19 or 20 => new LeaseGrantRequest { ID = random.Next(1, 5), TTL = 1000 },
            21 => new LeaseRevokeRequest { ID = random.Next(1, 5) },
            22 => new LeaseKeepAliveRequest { ID = random.Next(1, 5) },
            23 => new LeaseTimeToLiveRequest { ID = random.Next(1, 5), Keys = true },
            18 => new CompactionRequest { Revision = random.NextInt64(Math.Max(1, revision - 40), revision + 1), Physical = true },
            _ => new HashKVRequest { Revision = random.NextInt64(1, revision + 1) },
        };
    }

    private static PutRequest Put(Random random)
    {
        byte[] value = new byte[random.Next(40)];
        random.NextBytes(value);
        return new PutRequest { Key = Key(random.Next(12)), Value = ByteString.CopyFrom(value), PrevKv = random.Next(2) == 0, Lease = random.Next(3) == 0 ? random.Next(1, 5) : 0 };
    }

    private static DeleteRangeRequest Delete(Random random) => new()
    {
        Key = Key(random.Next(12)), RangeEnd = random.Next(3) == 0 ? Key(random.Next(12)) : ByteString.Empty, PrevKv = random.Next(2) == 0,
    };

    private static RangeRequest Range(Random random, long revision) => new()
    {
        Key = Key(random.Next(12)),
        RangeEnd = random.Next(2) == 0 ? Key(random.Next(14)) : ByteString.Empty,
        Revision = random.Next(3) == 0 ? random.NextInt64(1, revision + 2) : 0,
        Limit = random.Next(4),
        SortOrder = (RangeRequest.Types.SortOrder)random.Next(3),
        KeysOnly = random.Next(4) == 0,
        CountOnly = random.Next(6) == 0,
        MinModRevision = random.Next(4) == 0 ? random.NextInt64(0, revision) : 0,
    };

    private static TxnRequest Txn(Random random, int depth)
    {
        var txn = new TxnRequest();
        for (int i = random.Next(3); i > 0; i--)
        {
            txn.Compare.Add(new Compare
            {
                Key = Key(random.Next(12)),
                RangeEnd = random.Next(4) == 0 ? Key(random.Next(12)) : ByteString.Empty,
                Target = Compare.Types.CompareTarget.Version,
                Result = (Compare.Types.CompareResult)random.Next(4),
                Version = random.Next(3),
            });
        }

        Fill(random, txn.Success, depth);
        Fill(random, txn.Failure, depth);
        return txn;
    }

    private static void Fill(Random random, Google.Protobuf.Collections.RepeatedField<RequestOp> operations, int depth)
    {
        for (int i = random.Next(4); i > 0; i--)
        {
            operations.Add(random.Next(depth > 0 ? 5 : 4) switch
            {
                0 => new RequestOp { RequestRange = Range(random, 0) },
                1 => new RequestOp { RequestDeleteRange = Delete(random) },
                4 => new RequestOp { RequestTxn = Txn(random, depth - 1) },
                _ => new RequestOp { RequestPut = Put(random) },
            });
        }
    }

    private static ByteString Key(int number) => ByteString.CopyFromUtf8($"k{(char)('a' + number)}");
}
