using System.Text;
using Loom.Store.Collections;
using Loom.Store.Model;
using Loom.Testing;
using NUnit.Framework;

namespace Loom.Store.Tests.Collections;

internal sealed class LoomElectionTests
{
    [Test]
    public async Task Who_leads_and_what_he_says_can_be_read_and_followed()
    {
        await using LoomStore store = ImmediateNode.OpenStore();
        LoomElection election = new(store, "boss");
        using var stop = new CancellationTokenSource();
        List<string> seen = [];
        Task following = FollowAsync(election, seen, stop.Token);
        Assert.That(await election.GetLeaderAsync(), Is.Null);
        LoomHold east = await election.CampaignAsync("east"u8.ToArray());
        await UntilAsync(() => seen.Count == 1);
        Task<LoomHold> west = election.CampaignAsync("west"u8.ToArray()).AsTask();
        await east.ProclaimAsync("east 2"u8.ToArray());
        await east.ProclaimAsync("east 3"u8.ToArray());
        await UntilAsync(() => seen.Count == 3);
        LeaderSeen leader = (await election.GetLeaderAsync(ReadConsistency.Local))!;
        Assert.That((leader.Leader.CreateRevision, leader.Leader.Lease, leader.Leader.Version), Is.EqualTo((east.Token.Revision.Number, east.Lease, 3L)));
        await UntilAsync(() => store.Range(new RangeQuery(KeyRange.Prefix("boss/"))).Count == 2);
        await east.DisposeAsync();
        LoomHold second = await west;
        await UntilAsync(() => seen.Count == 4);
        await second.DisposeAsync();
        await UntilAsync(() => store.Range(new RangeQuery(KeyRange.Prefix("boss/"))).Count == 0);
        await using LoomHold third = await election.CampaignAsync("south"u8.ToArray());
        await UntilAsync(() => seen.Count == 5);
        Assert.That(seen, Is.EqualTo(new[] { "east", "east 2", "east 3", "west", "south" }));
        await stop.CancelAsync();
        Assert.That(async () => await following, Throws.InstanceOf<OperationCanceledException>());
        Assert.That(async () => await east.ProclaimAsync(default), Throws.TypeOf<FenceLostException>());
    }

    /// <summary>Compacted away: it goes on with what is there.</summary>
    [Test]
    public async Task Who_follows_survives_compactions_and_says_nothing_twice()
    {
        await using LoomStore store = ImmediateNode.OpenStore();
        LoomElection election = new(store, "boss");
        using var stop = new CancellationTokenSource();
        List<string> seen = [];
        Task following = FollowAsync(election, seen, stop.Token);
        await using LoomHold east = await election.CampaignAsync("0"u8.ToArray());
        for (int i = 1; i <= 100; i++)
        {
            await store.CompactAsync(await east.ProclaimAsync(Encoding.ASCII.GetBytes($"{i}")));
        }

        await UntilAsync(() => seen.Count > 0 && seen[^1] == "100");
        Assert.That(seen.Select(int.Parse), Is.Ordered.And.Unique);
        await stop.CancelAsync();
        Assert.That(async () => await following, Throws.InstanceOf<OperationCanceledException>());
    }

    private static async Task FollowAsync(LoomElection election, List<string> seen, CancellationToken stop)
    {
        await foreach (LeaderSeen leader in election.ObserveAsync(stop))
        {
            seen.Add(Encoding.UTF8.GetString(leader.Leader.Value.Span));
        }
    }

    private static async Task UntilAsync(Func<bool> condition)
    {
        DateTime until = DateTime.UtcNow.AddSeconds(20);
        while (!condition() && DateTime.UtcNow < until)
        {
            await Task.Delay(5);
        }

        Assert.That(condition());
    }
}
