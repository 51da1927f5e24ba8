using System.Runtime.CompilerServices;
using System.Text;
using Loom.Store.Collections;
using Loom.Store.Hosting;
using Loom.Store.Model;
using Loom.Testing;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
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
    public async Task Deleting_a_key_and_a_prefix()
    {
        await using LoomStore store = ImmediateNode.OpenStore();
        CancellationToken ct = CancellationToken.None;
        await store.PutAsync("team/a"u8.ToArray(), "1"u8.ToArray(), cancellationToken: ct);
        await store.PutAsync("team/b"u8.ToArray(), "1"u8.ToArray(), cancellationToken: ct);

        // sample: delete
        DeleteResult one = await store.DeleteAsync(KeyRange.Single("team/a"u8.ToArray()), ct);   // one.Deleted: 1, or 0 if there was none
        DeleteResult all = await store.DeleteAsync(KeyRange.Prefix("team/"), ct);                 // in one revision
        // end

        Assert.That((one.Deleted, all.Deleted), Is.EqualTo((1, 1)));
        RequireOnPage("delete");
    }

    [Test]
    public async Task Users_and_calls_on_their_behalf()
    {
        await using LoomStore store = ImmediateNode.OpenStore(out _, new LoomOptions { PasswordCost = 4 });
        CancellationToken ct = CancellationToken.None;

        // sample: users
        await store.Auth.AddUserAsync("root", "a long password", ct);                          // the process itself is trusted: no token
        await store.Auth.GrantRoleAsync("root", "root", ct);
        await store.Auth.AddUserAsync("ann", "another password", ct);
        await store.Auth.AddRoleAsync("team", ct);
        await store.Auth.GrantPermissionAsync("team", new Permission(PermissionKind.ReadWrite, KeyRange.Prefix("team/")), ct);
        await store.Auth.GrantRoleAsync("ann", "team", ct);
        await store.Auth.EnableAsync(ct);

        AuthToken token = await store.Auth.AuthenticateAsync("ann", "another password", ct);   // counts on every member
        ILoomStore ann = store.As(LoomIdentity.OfToken(token.Text));                            // what her request may do, and nothing else
        await ann.PutAsync("team/a"u8.ToArray(), "1"u8.ToArray(), cancellationToken: ct);
        // end

        LoomException denied = (await Assert.ThrowsAsync<LoomException>(async () => await ann.PutAsync("other"u8.ToArray(), "1"u8.ToArray())))!;
        Assert.That((denied.Code, store.Get("team/a"u8.ToArray()) is null), Is.EqualTo((LoomErrorCode.PermissionDenied, false)));
        RequireOnPage("users");
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

    [Test]
    public async Task Work_that_one_process_does_at_a_time_configuration_and_health()
    {
        string directory = Path.Combine(Path.GetTempPath(), "loom-sample-" + Guid.NewGuid().ToString("N"));
        CancellationToken ct = CancellationToken.None;
        try
        {
            HostApplicationBuilder builder = Host.CreateEmptyApplicationBuilder(null);

            // sample: leader-service
            builder.Services.AddLoom(options => options.DataDirectory = directory)
                .AddLeaderService<Cleanup>("jobs/cleanup", options => options.PreferredDatacenter = "east");
            // end

            using IHost host = builder.Build();
            await host.StartAsync(ct);
            var store = host.Services.GetRequiredService<ILoomStore>();
            DateTime until = DateTime.UtcNow.AddSeconds(20);
            while (store.Get("jobs/cleanup/last"u8.ToArray()) is null && DateTime.UtcNow < until)
            {
                await Task.Delay(10, ct);
            }

            Assert.That(store.Get("jobs/cleanup/last"u8.ToArray()), Is.Not.Null);

            // sample: health
            HealthReport ready = await host.Services.GetRequiredService<HealthCheckService>().CheckHealthAsync(check => check.Tags.Contains("ready"), ct);
            // end

            Assert.That((ready.Status, ready.Entries.Count), Is.EqualTo((HealthStatus.Healthy, 1)));
            await host.StopAsync(ct);
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }

        RequireOnPage("leader-service");
        RequireOnPage("leader-service-class");
        RequireOnPage("health");
    }

    [Test]
    public async Task Configuration_that_follows_the_store()
    {
        await using LoomStore store = ImmediateNode.OpenStore();
        await store.PutAsync("config/Logging/Level"u8.ToArray(), "Warning"u8.ToArray());
        HostApplicationBuilder builder = Host.CreateEmptyApplicationBuilder(null);
        const string directory = "not opened";

        // sample: configuration
        // A store that is open:
        IConfigurationRoot configuration = new ConfigurationBuilder().AddLoom(store, "config/").Build();
        string? level = configuration["Logging:Level"];                  // the key config/Logging/Level

        // A store that the host opens: the keys are there before hosted services start.
        builder.Services.AddLoom(options => options.DataDirectory = directory)
            .AddConfiguration(builder.Configuration, "config/", options => options.OnFault = fault => Console.Error.WriteLine(fault.Message));
        // end

        Assert.That(level, Is.EqualTo("Warning"));
        RequireOnPage("configuration");
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

    // sample: leader-service-class
    public sealed class Cleanup(ILogger<Cleanup> log) : ILeaderService
    {
        public async Task RunAsync(LoomHold lead, CancellationToken cancellationToken)
        {
            while (true)
            {
                await lead.Store.PutAsync("jobs/cleanup/last"u8.ToArray(), Encoding.UTF8.GetBytes(lead.Token.ToString()), cancellationToken: cancellationToken);
                log.LogInformation("cleaned up under {Token}", lead.Token);
                await Task.Delay(TimeSpan.FromMinutes(1), cancellationToken);
            }
        }
    }
    // end
}
