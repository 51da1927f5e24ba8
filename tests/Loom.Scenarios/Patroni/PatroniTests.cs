using System.Diagnostics;
using System.Globalization;
using Loom.Scenarios.Processes;
using Loom.Testing;
using NUnit.Framework;

namespace Loom.Scenarios.Patroni;

/// <summary>
/// Goal: Patroni 3.0.2 and PostgreSQL 15, unchanged, live on this store as on etcd. Method: Debian's packages against three members over the JSON gateway. One member of the store is killed while the database runs, and the
/// database does not notice; the primary's machine dies and the replica takes over; the dead one comes back and follows; an operator switches over. Every row that was acknowledged is there in the end.
/// </summary>
[NonParallelizable]
public sealed class PatroniTests
{
    /// <summary>Patroni's ttl is 20 s. What it needs beside that: its own round of 2 s, and the promotion.</summary>
    private const int FailoverSeconds = 35;

    private readonly List<int> acknowledged = [];
    private string root = "";

    [SetUp]
    public void MakeRoot()
    {
        PatroniPair.Require();
        root = Directory.CreateTempSubdirectory("loom-patroni-store-").FullName;
        acknowledged.Clear();
    }

    [TearDown]
    public void RemoveRoot()
    {
        if (root.Length > 0)
        {
            Directory.Delete(root, recursive: true);
        }
    }

    [TestCase(false)]
    [TestCase(true, Description = "as a user who may nothing but what is its own; members that restart have forgotten its token")]
    public async Task A_database_keeps_its_primary_loses_it_gets_it_back_and_is_switched_over(bool asUser)
    {
        TestRun.RequireTime();
        using LoomCluster store = await LoomCluster.StartThreeAsync(root);
        if (asUser)
        {
            await store.AskWhoCallsAsync("patroni", "secret", "/service/");
        }

        using PatroniPair pair = await PatroniPair.StartAsync(store.Nodes.Select(node => node.Endpoint["http://".Length..]), asUser ? ["username: patroni", "password: secret"] : []);
        PatroniMember first = pair.Members[0];
        PatroniMember second = pair.Members[1];
        Assert.That(await first.SqlAsync("create table rows (id int primary key)"), Is.Not.Null);

        LoomProcess lost = await store.LeaderAsync();
        lost.Kill();

        // Longer than the ttl, once; the rule is the same for users.
        await InsertForAsync(first, TimeSpan.FromSeconds(asUser ? 6 : 22), "the primary was demoted because one member of its store died");
        Assert.That(await first.IsAsync("primary"));

        await pair.UntilAsync(async () => await second.SqlAsync("select count(*) from rows") == acknowledged.Count.ToString(CultureInfo.InvariantCulture), 10, "the replica lags");
        first.Kill();
        var watch = Stopwatch.StartNew();
        await pair.UntilAsync(second.IsWritableAsync, FailoverSeconds, "the replica did not take over");
        TestContext.Out.WriteLine($"{second.Name} is primary {watch.Elapsed.TotalSeconds:F1} s after the other one's machine died, with two of three members of the store");
        await InsertForAsync(second, TimeSpan.FromSeconds(1), "the new primary takes no rows");

        store.Start(lost);
        first.Start();
        await pair.UntilAsync(first.IsFollowingAsync, 60, "the old primary does not follow the new one");
        await store.WaitUntilServingAsync();
        await PatroniPair.ControlAsync(second, "switchover", "demo", "--leader", second.Name, "--candidate", first.Name, "--force");
        await pair.UntilAsync(first.IsWritableAsync, 30, "no switchover");
        await pair.UntilAsync(second.IsFollowingAsync, 60, "the other one does not follow after the switchover");
        await InsertForAsync(first, TimeSpan.FromSeconds(1), "the primary after the switchover takes no rows");
        Assert.That(await RowsAsync(first), Is.SupersetOf(acknowledged));
    }

    private async Task InsertForAsync(PatroniMember primary, TimeSpan time, string otherwise)
    {
        var watch = Stopwatch.StartNew();
        while (watch.Elapsed < time)
        {
            int id = acknowledged.Count;
            Assert.That(await primary.SqlAsync($"insert into rows values ({id})"), Is.Not.Null, otherwise + "\n" + primary.Output());
            acknowledged.Add(id);
            await Task.Delay(100);
        }
    }

    private static async Task<int[]> RowsAsync(PatroniMember member) =>
        [.. (await member.SqlAsync("select id from rows order by id"))!.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(row => int.Parse(row, CultureInfo.InvariantCulture))];
}
