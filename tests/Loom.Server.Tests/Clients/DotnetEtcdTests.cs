using System.Security.Cryptography.X509Certificates;
using System.Threading.Channels;
using dotnet_etcd;
using Etcdserverpb;
using Google.Protobuf;
using Grpc.Core;
using Loom.Server.Tests.Hosting;
using Loom.Server.Tests.Tls;
using V3Electionpb;
using V3Lockpb;

namespace Loom.Server.Tests.Clients;

/// <summary>Goal: the .NET client of etcd, dotnet-etcd from NuGet, works against a node and against a cluster that loses a member.</summary>
[TestFixture]
internal sealed class DotnetEtcdTests
{
    [Test]
    public async Task Keys_and_transactions()
    {
        await using TestNode node = await TestNode.StartAsync();
        using EtcdClient client = Open("http://" + node.Endpoint);
        await KeysAsync(client);
    }

    [Test]
    public async Task The_same_over_mutual_tls()
    {
        using var folder = new CertificateFolder();
        using X509Certificate2 certificate = X509Certificate2.CreateFromPemFile(folder["client.crt"], folder["client.key"]);
        using X509Certificate2 ca = X509CertificateLoader.LoadCertificateFromFile(folder["ca.crt"]);
        await using TestNode node = await TestNode.StartAsync(tls: folder.Port(mutual: true));
        using var client = new EtcdClient("https://" + node.Endpoint, configureSslOptions: ssl =>
        {
            ssl.ClientCertificates = [certificate];
            ssl.CertificateChainPolicy = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck };
            ssl.CertificateChainPolicy.CustomTrustStore.Add(ca);
        });
        await KeysAsync(client);
    }

    [Test]
    public async Task Watches_deliver_in_order()
    {
        await using TestNode node = await TestNode.StartAsync();
        using EtcdClient client = Open("http://" + node.Endpoint);
        var seen = Channel.CreateUnbounded<string>();
        using var stop = new CancellationTokenSource();
        Task<long> watching = client.WatchRangeAsync(
            "w/",
            (WatchResponse response) =>
            {
                foreach (Mvccpb.Event change in response.Events)
                {
                    seen.Writer.TryWrite($"{change.Type} {change.Kv.Key.ToStringUtf8()}={change.Kv.Value.ToStringUtf8()}");
                }

                if (response.Created)
                {
                    seen.Writer.TryWrite("created");
                }
            },
            cancellationToken: stop.Token);
        Assert.That(await NextAsync(seen), Is.EqualTo("created"));
        await client.PutAsync("w/1", "a");
        await client.PutAsync("x", "b");
        await client.DeleteAsync("w/1");
        Assert.That(await NextAsync(seen), Is.EqualTo("Put w/1=a"));
        Assert.That(await NextAsync(seen), Is.EqualTo("Delete w/1="));
        await stop.CancelAsync();
        await ((Task)watching).WaitAsync(TimeSpan.FromSeconds(10)).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    [Test]
    public async Task A_lease_is_kept_alive_and_revoked()
    {
        await using TestNode node = await TestNode.StartAsync();
        using EtcdClient client = Open("http://" + node.Endpoint);
        LeaseGrantResponse lease = await client.LeaseGrantAsync(new LeaseGrantRequest { TTL = 30 });
        await client.PutAsync(new PutRequest { Key = ByteString.CopyFromUtf8("l"), Value = ByteString.CopyFromUtf8("v"), Lease = lease.ID });
        var kept = new TaskCompletionSource<long>(TaskCreationOptions.RunContinuationsAsynchronously);
        using var stop = new CancellationTokenSource();
        Task keeping = client.LeaseKeepAlive(new LeaseKeepAliveRequest { ID = lease.ID }, response => kept.TrySetResult(response.TTL), stop.Token);
        Assert.That(await kept.Task.WaitAsync(TimeSpan.FromSeconds(10)), Is.EqualTo(30));
        await stop.CancelAsync();
        await keeping.WaitAsync(TimeSpan.FromSeconds(10)).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        Assert.That((await client.LeaseTimeToLiveAsync(new LeaseTimeToLiveRequest { ID = lease.ID, Keys = true })).Keys.Single().ToStringUtf8(), Is.EqualTo("l"));
        await client.LeaseRevokeAsync(new LeaseRevokeRequest { ID = lease.ID });
        Assert.That((await client.GetAsync("l")).Count, Is.Zero);
    }

    [Test]
    public async Task A_lock_waits_for_its_holder()
    {
        await using TestNode node = await TestNode.StartAsync();
        using EtcdClient client = Open("http://" + node.Endpoint);
        LockResponse held = await client.LockAsync("resource");
        Task<LockResponse> waiting = client.LockAsync("resource");
        await Task.Delay(200);
        Assert.That(waiting.IsCompleted, Is.False);
        await client.UnlockAsync(held.Key.ToStringUtf8());
        LockResponse second = await waiting.WaitAsync(TimeSpan.FromSeconds(10));
        await client.UnlockAsync(second.Key.ToStringUtf8());
    }

    [Test]
    public async Task An_election_has_one_leader_and_observers_see_the_change()
    {
        await using TestNode node = await TestNode.StartAsync();
        using EtcdClient client = Open("http://" + node.Endpoint);
        CampaignResponse first = await client.CampaignAsync("seat", "one");
        Assert.That((await client.LeaderAsync("seat")).Kv.Value.ToStringUtf8(), Is.EqualTo("one"));
        Task<CampaignResponse> second = client.CampaignAsync("seat", "two");
        var seen = Channel.CreateUnbounded<string>();
        using var stop = new CancellationTokenSource();
        Task observing = Task.Run(async () =>
        {
            await foreach (LeaderResponse leader in client.ObserveAsync("seat", cancellationToken: stop.Token))
            {
                seen.Writer.TryWrite(leader.Kv.Value.ToStringUtf8());
            }
        });
        Assert.That(await NextAsync(seen), Is.EqualTo("one"));
        await client.ProclaimAsync(first.Leader, "one again");
        Assert.That(await NextAsync(seen), Is.EqualTo("one again"));
        Assert.That(second.IsCompleted, Is.False);
        await client.ResignAsync(first.Leader);
        await client.ResignAsync((await second.WaitAsync(TimeSpan.FromSeconds(10))).Leader);
        Assert.That(await NextAsync(seen), Is.EqualTo("two"));
        await stop.CancelAsync();
        await observing.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    [Test]
    public async Task A_user_logs_in_and_may_do_what_he_may()
    {
        await using TestNode node = await TestNode.StartAsync();
        await KnownUsers.EnableAsync(node.Channel);
        using var client = new EtcdClient("http://" + node.Endpoint, KnownUsers.Name, KnownUsers.Password, configureChannelOptions: options => options.Credentials = ChannelCredentials.Insecure);
        await client.PutAsync("mine/a", "1");
        Assert.That((await client.GetAsync("mine/a")).Kvs[0].Value.ToStringUtf8(), Is.EqualTo("1"));
        Assert.That(async () => await client.PutAsync("other/a", "1"), Throws.InstanceOf<RpcException>().With.Property("StatusCode").EqualTo(StatusCode.PermissionDenied));
        LockResponse held = await client.LockAsync("mine/lock");
        await client.UnlockAsync(held.Key.ToStringUtf8());
        using EtcdClient nobody = Open("http://" + node.Endpoint);
        Assert.That(async () => await nobody.GetAsync("mine/a"), Throws.InstanceOf<RpcException>().With.Message.Contains("user name is empty"));
    }

    /// <summary>With all endpoints it goes on when one is gone. It turns through them, so a call may meet the one that is gone until it has noticed: programs repeat it.</summary>
    [Test]
    public async Task A_cluster_that_loses_a_member_goes_on()
    {
        await using var cluster = new ServedCluster();
        for (int i = 0; i < ServedCluster.Count; i++)
        {
            cluster.Start(i);
        }

        await cluster.ReadyAsync();
        using EtcdClient client = Open(string.Join(',', Enumerable.Range(0, ServedCluster.Count).Select(cluster.ClientUrl)));
        await client.PutAsync("a", "1");
        MemberListResponse members = await client.MemberListAsync(new MemberListRequest());
        Assert.That(members.Members.Select(m => m.Name), Is.EquivalentTo(Enumerable.Range(0, ServedCluster.Count).Select(ServedCluster.Name)));
        await cluster.StopAsync(0);
        for (int i = 0; i < 3; i++)
        {
            await RepeatAsync(() => client.PutAsync("a", $"{i}"));
            Assert.That((await RepeatAsync(() => client.GetAsync("a"))).Kvs[0].Value.ToStringUtf8(), Is.EqualTo($"{i}"));
        }
    }

    private static async Task<T> RepeatAsync<T>(Func<Task<T>> call)
    {
        for (int attempt = 0; ; attempt++)
        {
            try
            {
                return await call();
            }
            catch (RpcException exception) when (exception.StatusCode == StatusCode.Unavailable && attempt < 50)
            {
                await Task.Delay(100);
            }
        }
    }

    private static async Task KeysAsync(EtcdClient client)
    {
        await client.PutAsync("k/a", "1");
        await client.PutAsync("k/b", "2");
        RangeResponse range = await client.GetRangeAsync("k/");
        Assert.That(range.Kvs.Select(kv => kv.Value.ToStringUtf8()), Is.EqualTo(new[] { "1", "2" }));
        var transaction = new TxnRequest();
        transaction.Compare.Add(new Compare
        {
            Key = ByteString.CopyFromUtf8("k/a"), Target = Compare.Types.CompareTarget.Value, Result = Compare.Types.CompareResult.Equal, Value = ByteString.CopyFromUtf8("1"),
        });
        transaction.Success.Add(new RequestOp { RequestPut = new PutRequest { Key = ByteString.CopyFromUtf8("k/a"), Value = ByteString.CopyFromUtf8("3") } });
        transaction.Failure.Add(new RequestOp { RequestRange = new RangeRequest { Key = ByteString.CopyFromUtf8("k/a") } });
        Assert.That((await client.TransactionAsync(transaction)).Succeeded, Is.True);
        TxnResponse second = await client.TransactionAsync(transaction);
        Assert.That(second.Succeeded, Is.False);
        Assert.That(second.Responses[0].ResponseRange.Kvs[0].Value.ToStringUtf8(), Is.EqualTo("3"));
        Assert.That((await client.DeleteRangeAsync("k/")).Deleted, Is.EqualTo(2));
        Assert.That((await client.StatusAsync(new StatusRequest())).Version, Does.StartWith("3.5."));
    }

    private static EtcdClient Open(string endpoints) => new(endpoints, configureChannelOptions: options => options.Credentials = ChannelCredentials.Insecure);

    private static async Task<string> NextAsync(Channel<string> seen) => await seen.Reader.ReadAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(10));
}
