using System.Runtime.CompilerServices;
using System.Text;
using Loom.Store.Collections;
using Loom.Testing;
using NUnit.Framework;
using static Loom.Store.Conditions;

namespace Loom.Store.Tests;

/// <summary>The samples of docs/embedding.md, compiled and run; the page must hold the very lines between the marks.</summary>
internal sealed class EmbeddingSampleTests
{
    [Test]
    public async Task A_lock_whose_former_holder_cannot_write()
    {
        await using LoomStore store = ImmediateNode.OpenStore();
        CancellationToken ct = CancellationToken.None;

        // sample: lock
        var jobs = new LoomLock(store, "jobs/cleanup", new LoomLockOptions { TimeToLive = TimeSpan.FromSeconds(15) });

        await using (LoomHold hold = await jobs.AcquireAsync(ct))            // waits its turn; cancelling leaves nothing behind
        {
            while (!hold.Lost.IsCancellationRequested)                       // its lease renews itself; Lost: it could not, or somebody deleted the key
            {
                // Not store.PutAsync: this write is checked against the hold where it is applied.
                await hold.Store.PutAsync("jobs/cleanup/at"u8.ToArray(), "17"u8.ToArray(), cancellationToken: ct);
                await hold.Store.TransactAsync(t => t.When(Exists("jobs/cleanup/at")).Put("jobs/cleanup/by"u8.ToArray(), "east1"u8.ToArray()), ct);
                break;
            }
        }                                                                    // whoever waits next has it at once
        // end

        Assert.That(store.Get("jobs/cleanup/by"u8.ToArray()), Is.Not.Null);
        RequireOnPage("lock");
    }

    [Test]
    public async Task An_election()
    {
        await using LoomStore store = ImmediateNode.OpenStore();
        CancellationToken ct = CancellationToken.None;

        // sample: election
        var election = new LoomElection(store, "jobs/boss");
        await using LoomHold lead = await election.CampaignAsync("east1"u8.ToArray(), ct);     // a lock whose holder says something
        LeaderSeen? seen = await election.GetLeaderAsync(cancellationToken: ct);                // seen.Leader.Value: "east1"
        await lead.ProclaimAsync("east1, draining"u8.ToArray(), ct);                            // under the fence, too
        await foreach (LeaderSeen next in election.ObserveAsync(ct))                            // now, and after each change
        {
            Console.WriteLine(Encoding.UTF8.GetString(next.Leader.Value.Span));
            break;
        }
        // end

        Assert.That(Encoding.UTF8.GetString(seen!.Leader.Value.Span), Is.EqualTo("east1"));
        RequireOnPage("election");
    }

    /// <summary>What stands between the marks of this file stands on the page, but for indentation and a line that names usings.</summary>
    private static void RequireOnPage(string sample, [CallerFilePath] string file = "")
    {
        string page = File.ReadAllText(Path.Combine(Path.GetDirectoryName(file)!, "../../docs/embedding.md"));
        string onPage = page.Split($"<!-- sample: {sample} -->\n```csharp\n")[1].Split("```")[0];
        string here = File.ReadAllText(file).Split($"// sample: {sample}\n")[1].Split("// end\n")[0];
        Assert.That(Lines(onPage), Is.EqualTo(Lines(here)));
    }

    private static string[] Lines(string text) => [.. text.Split('\n').Select(line => line.Trim()).Where(line => line.Length > 0 && !line.StartsWith("// using ", StringComparison.Ordinal))];
}
