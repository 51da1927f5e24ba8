using System.Text.Json;
using Loom.Raft;
using Loom.Raft.Membership;
using Loom.Server.Tests.Hosting;
using Loom.Store;

namespace Loom.Server.Tests.Cli;

[TestFixture]
internal sealed class StatusCommandTests
{
    /// <summary>Embedding is the main use: a member without a client port cannot be asked, and is well all the same as long as others hear it.</summary>
    [Test]
    public async Task An_embedded_member_is_not_taken_for_a_dead_one()
    {
        await using var cluster = new ServedCluster();
        cluster.Start(0);
        cluster.Start(1);
        string[] datacenters = ["east", "west", "south"];
        LoomStore embedded = await LoomStore.OpenAsync(new LoomOptions
        {
            Name = ServedCluster.Name(2), DataDirectory = cluster.At("embedded"), ClusterToken = "loom-cluster",
            InitialCluster = [.. datacenters.Select((datacenter, i) => new InitialMember(ServedCluster.Name(i), datacenter, MemberRole.Voter, [cluster.PeerUrl(i)]))],
        });
        await cluster.ReadyAsync();
        await embedded.PutAsync("a"u8.ToArray(), "1"u8.ToArray());
        (string role, int losses) = await StatusAsync(cluster, status => status.Losses > 0);
        Assert.That((role, losses), Is.EqualTo(("voter, no client port", 1)).Or.EqualTo(("leader", 1)));

        // Once it is gone it is counted as gone.
        await embedded.DisposeAsync();
        (role, losses) = await StatusAsync(cluster, status => status.Losses == 0);
        Assert.That((role, losses), Is.EqualTo(("voter, no answer", 0)));
    }

    private static async Task<(string Role, int Losses)> StatusAsync(ServedCluster cluster, Func<(string Role, int Losses), bool> isSo)
    {
        (string Role, int Losses) status = default;
        for (int i = 0; i < 50; i++)
        {
            CommandRun run = await CommandRun.OfAsync("status", "-o", "json", "--endpoints", cluster.Endpoint(0));
            using JsonDocument json = JsonDocument.Parse(run.Output);
            JsonElement member = json.RootElement.GetProperty("members").EnumerateArray().Single(m => m.GetProperty("name").GetString() == ServedCluster.Name(2));
            status = (member.GetProperty("state").GetString()!, json.RootElement.GetProperty("further_voters_that_may_be_lost").GetInt32());
            if (isSo(status))
            {
                break;
            }

            await Task.Delay(100);
        }

        return status;
    }
}
