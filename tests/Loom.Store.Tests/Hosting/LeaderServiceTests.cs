using System.Collections.Concurrent;
using Loom.Raft;
using Loom.Raft.Membership;
using Loom.Store.Collections;
using Loom.Store.Hosting;
using Loom.Store.Model;
using Loom.Testing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using NUnit.Framework;

namespace Loom.Store.Tests.Hosting;

/// <summary>Hosts that share a store, as the processes of a fleet share a cluster.</summary>
internal sealed class LeaderServiceTests
{
    [Test]
    public async Task A_service_runs_on_one_process_at_a_time_and_moves_when_its_host_stops()
    {
        await using LoomStore store = ImmediateNode.OpenStore();
        Journal journal = new();
        List<IHost> hosts = [];
        for (int i = 0; i < 3; i++)
        {
            hosts.Add(await StartAsync(store, journal, builder => builder.AddLeaderService<Worker>("work").AddLeaderService<Other>("other")));
        }

        for (int left = 3; left > 0; left--)
        {
            int terms = 4 - left;
            await UntilAsync(() => journal.Began(nameof(Worker)) == terms && journal.Began(nameof(Other)) >= 1);
            Worker running = journal.Running.Single();
            Assert.That(running.Lead!.Token.Key.Span.StartsWith("work/"u8));
            await running.Lead.Store.PutAsync("by"u8.ToArray(), "x"u8.ToArray());
            IHost host = hosts.Single(one => PlaceOf(one) == running.Host);
            hosts.Remove(host);
            await host.StopAsync();
            host.Dispose();
            Assert.That((running.Stopped, running.Disposed), Is.EqualTo((true, true)), "it was told, and disposed of");
            Assert.That(async () => await running.Lead.Store.PutAsync("by"u8.ToArray(), "y"u8.ToArray()), Throws.TypeOf<FenceLostException>());
        }

        Assert.That(journal.MostAtOnce, Is.EqualTo(1));
        Assert.That(store.Range(new RangeQuery(KeyRange.Prefix("work/"))).Count, Is.Zero);
    }

    [Test]
    public async Task A_service_that_loses_its_leadership_is_stopped_and_one_that_fails_begins_again_after_a_pause()
    {
        await using LoomStore store = ImmediateNode.OpenStore();
        Journal journal = new() { Failures = 3 };
        using IHost host = await StartAsync(store, journal, builder => builder.AddLeaderService<Worker>("work", options =>
        {
            options.RestartDelay = TimeSpan.FromMilliseconds(20);
            options.MaxRestartDelay = TimeSpan.FromMilliseconds(100);
        }));
        await UntilAsync(() => journal.Running.Count == 1);
        Assert.That(journal.Began(nameof(Worker)), Is.EqualTo(4), "three failed");
        Worker first = journal.Running.Single();
        await store.DeleteAsync(KeyRange.Prefix("work/"));
        await UntilAsync(() => first.Stopped && journal.Running.Count == 1 && journal.Running.Single() != first);
        Assert.That(journal.Running.Single().Lead!.Token, Is.GreaterThan(first.Lead!.Token));
        await host.StopAsync();
    }

    [Test]
    public async Task No_quorum_at_start_is_waited_out()
    {
        await using LoomStore store = ImmediateNode.OpenStore(out ImmediateNode node);
        node.Fault = _ => new RaftException(RaftErrorCode.NoQuorum, "none yet");
        Journal journal = new();
        using IHost host = await StartAsync(store, journal, builder => builder.AddLeaderService<Worker>("work", options => options.RestartDelay = TimeSpan.FromMilliseconds(20)));
        await Task.Delay(100);
        node.Fault = null;
        await UntilAsync(() => journal.Running.Count == 1);
        await host.StopAsync();
    }

    /// <summary>Three members in three datacenters: the work goes where it belongs, and elsewhere when nobody is there.</summary>
    [Test]
    public async Task Work_goes_to_the_datacenter_where_it_belongs()
    {
        string root = Directory.CreateTempSubdirectory("loom-leaders-").FullName;
        InitialMember[] members = [.. FreePorts.Take(3).Select((port, i) => new InitialMember($"m{i}", $"dc{i}", MemberRole.Voter, [$"http://127.0.0.1:{port}"]))];
        Journal journal = new();
        List<IHost> hosts = [];
        try
        {
            for (int i = 0; i < 3; i++)
            {
                hosts.Add(await HostAsync(i));
            }

            Place preferred = PlaceOf(hosts[2]);
            await UntilAsync(() => journal.Running is [Worker worker] && worker.Host == preferred);
            KeyValue leader = hosts[0].Services.GetRequiredService<ILoomStore>().Range(new RangeQuery(KeyRange.Prefix("work/")) { SortTarget = SortTarget.Create, SortOrder = SortOrder.Ascend, Limit = 1 }).Pairs.Single();
            Assert.That(leader.Value.ToArray(), Is.EqualTo("m2@dc2"u8.ToArray()));

            // Away, and back.
            await hosts[2].StopAsync();
            hosts[2].Dispose();
            await UntilAsync(() => journal.Running is [Worker worker] && worker.Host != preferred);
            hosts[2] = await HostAsync(2);
            preferred = PlaceOf(hosts[2]);
            await UntilAsync(() => journal.Running is [Worker worker] && worker.Host == preferred);
            Assert.That(journal.MostAtOnce, Is.EqualTo(1));
        }
        finally
        {
            await Task.WhenAll(hosts.Select(host => host.StopAsync()));
            hosts.ForEach(host => host.Dispose());
            Directory.Delete(root, recursive: true);
        }

        async Task<IHost> HostAsync(int i)
        {
            HostApplicationBuilder builder = Host.CreateEmptyApplicationBuilder(null);
            builder.Services.AddSingleton(journal).AddSingleton<Place>();
            builder.Services.AddLoom(options =>
            {
                options.Name = members[i].Name;
                options.DataDirectory = Path.Combine(root, members[i].Name);
                options.InitialCluster = members;
            }).AddLeaderService<Worker>("work", options =>
            {
                options.PreferredDatacenter = "dc2";
                options.RestartDelay = TimeSpan.FromMilliseconds(50);
            });
            IHost host = builder.Build();
            await host.StartAsync();
            return host;
        }
    }

    private static async Task<IHost> StartAsync(LoomStore store, Journal journal, Action<LoomBuilder> add)
    {
        HostApplicationBuilder builder = Host.CreateEmptyApplicationBuilder(null);
        builder.Services.AddSingleton(journal).AddSingleton<Place>().AddSingleton<ILoomStore>(store);
        add(new LoomBuilder(builder.Services));
        IHost host = builder.Build();
        await host.StartAsync();
        return host;
    }

    private static Place PlaceOf(IHost host) => host.Services.GetRequiredService<Place>();

    private static async Task UntilAsync(Func<bool> condition)
    {
        DateTime until = DateTime.UtcNow.AddSeconds(30);
        while (!condition() && DateTime.UtcNow < until)
        {
            await Task.Delay(5);
        }

        Assert.That(condition());
    }

    private sealed class Place;

    private sealed class Journal
    {
        private readonly ConcurrentDictionary<string, int> began = new();
        private readonly List<Worker> running = [];

        public int Failures { get; set; }

        public int MostAtOnce { get; private set; }

        public IReadOnlyList<Worker> Running
        {
            get
            {
                lock (running)
                {
                    return [.. running];
                }
            }
        }

        public int Began(string service) => began.GetValueOrDefault(service);

        public void Begin(string service) => began.AddOrUpdate(service, 1, (_, count) => count + 1);

        public void Add(Worker worker)
        {
            lock (running)
            {
                running.Add(worker);
                MostAtOnce = Math.Max(MostAtOnce, running.Count);
            }
        }

        public void Remove(Worker worker)
        {
            lock (running)
            {
                running.Remove(worker);
            }
        }
    }

    private sealed class Worker(Journal journal, Place host) : ILeaderService, IDisposable
    {
        public LoomHold? Lead { get; private set; }

        public bool Stopped { get; private set; }

        public bool Disposed { get; private set; }

        public Place Host => host;

        public async Task RunAsync(LoomHold lead, CancellationToken cancellationToken)
        {
            Lead = lead;
            journal.Begin(nameof(Worker));
            if (journal.Failures-- > 0)
            {
                throw new InvalidOperationException("not today");
            }

            journal.Add(this);
            try
            {
                await Task.Delay(Timeout.Infinite, cancellationToken);
            }
            finally
            {
                Stopped = true;
                journal.Remove(this);
            }
        }

        public void Dispose() => Disposed = true;
    }

    private sealed class Other(Journal journal) : ILeaderService
    {
        public async Task RunAsync(LoomHold lead, CancellationToken cancellationToken)
        {
            journal.Begin(nameof(Other));
            await Task.Delay(Timeout.Infinite, cancellationToken);
        }
    }
}
