using Loom.Store.Hosting;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Options;
using NUnit.Framework;

namespace Loom.Store.Tests.Hosting;

internal sealed class AddLoomTests
{
    [Test]
    public async Task A_host_opens_the_store_answers_for_its_health_and_closes_it()
    {
        string directory = Path.Combine(Path.GetTempPath(), "loom-host-" + Guid.NewGuid().ToString("N"));
        try
        {
            HostApplicationBuilder builder = Host.CreateEmptyApplicationBuilder(null);
            builder.Services.AddLoom(options => options.DataDirectory = directory).Services.AddHostedService<EarlyUser>();
            using IHost host = builder.Build();
            var store = host.Services.GetRequiredService<ILoomStore>();
            Assert.That(() => store.Status, Throws.InstanceOf<LoomException>().With.Property("Code").EqualTo(LoomErrorCode.Stopped));

            await host.StartAsync();

            // The other hosted service was made before the store was open, and used it as soon as it started.
            Assert.That(store.Get("early"u8.ToArray()), Is.Not.Null);
            HealthReport health = await host.Services.GetRequiredService<HealthCheckService>().CheckHealthAsync();
            using (Assert.EnterMultipleScope())
            {
                Assert.That(health.Entries.Keys, Is.EquivalentTo(new[] { "loom-live", "loom-ready", "loom-quorum" }));
                Assert.That(health.Status, Is.EqualTo(HealthStatus.Healthy));
                Assert.That(health.Entries["loom-ready"].Data["role"], Is.EqualTo("leader"));
                Assert.That(health.Entries["loom-ready"].Data["lag"], Is.Zero);
            }

            await host.StopAsync();
            Assert.That(async () => await store.PutAsync("a"u8.ToArray(), default), Throws.InstanceOf<LoomException>().With.Property("Code").EqualTo(LoomErrorCode.Stopped));
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    [Test]
    public async Task Every_fault_of_the_configuration_is_named_with_its_path_before_anything_starts()
    {
        IConfiguration configuration = Settings(new()
        {
            ["Loom:Name"] = "east1",
            ["Loom:ElectionTimeout"] = "soon",
            ["Loom:MaxRequestBytes"] = "1",
            ["Loom:InitialCluster:0:Name"] = "west1",
            ["Loom:InitialCluster:0:Role"] = "king",
        });
        HostApplicationBuilder builder = Host.CreateEmptyApplicationBuilder(null);
        builder.Services.AddLoom(configuration.GetSection("Loom"));
        using IHost host = builder.Build();
        OptionsValidationException thrown = (await Assert.ThrowsAsync<OptionsValidationException>(() => host.StartAsync()))!;
        foreach (string part in (string[])["Loom:ElectionTimeout is 'soon'", "MaxRequestBytes is 1", "Loom:InitialCluster:0:Role is 'king'", "does not name this member 'east1'"])
        {
            Assert.That(thrown.Message, Does.Contain(part));
        }
    }

    [Test]
    public void Settings_arrive_from_configuration()
    {
        IConfiguration configuration = Settings(new()
        {
            ["Name"] = "east1",
            ["Datacenter"] = "east",
            ["ElectionTimeout"] = "00:00:02",
            ["PlacementGoal"] = "twodatacenters",
            ["AdvertiseClientUrls"] = "http://a:1, http://b:2",
            ["InitialCluster:0:Name"] = "east1",
            ["InitialCluster:0:Datacenter"] = "east",
            ["InitialCluster:0:PeerUrls:0"] = "http://a:2380",
            ["InitialCluster:1:Name"] = "west1",
            ["InitialCluster:1:Role"] = "standby",
            ["InitialCluster:1:PeerUrls:0"] = "http://b:2380",
            ["InitialCluster:2:Name"] = "south1",
            ["InitialCluster:2:PeerUrls:0"] = "http://c:2380",
        });
        var services = new ServiceCollection();
        services.AddLoom(configuration);
        using ServiceProvider provider = services.BuildServiceProvider();
        LoomOptions options = provider.GetRequiredService<IOptions<LoomOptions>>().Value;
        using (Assert.EnterMultipleScope())
        {
            Assert.That((options.Name, options.Datacenter, options.ElectionTimeout.TotalSeconds), Is.EqualTo(("east1", "east", 2d)));
            Assert.That(options.PlacementGoal, Is.EqualTo(Raft.Membership.PlacementGoal.TwoDatacenters));
            Assert.That(options.AdvertiseClientUrls, Is.EqualTo(new[] { "http://a:1", "http://b:2" }));
            Assert.That(options.InitialCluster.Select(member => $"{member.Name}@{member.Datacenter}/{member.Role}={string.Join("|", member.PeerUrls)}"), Is.EqualTo(new[] { "east1@east/Voter=http://a:2380", "west1@west1/Standby=http://b:2380", "south1@south1/Voter=http://c:2380" }));
        }
    }

    [Test]
    public void A_store_that_is_not_open_is_alive_but_not_ready() => Assert.That(
        Enum.GetValues<LoomHealthQuestion>().Select(question => LoomHealthCheck.Check(null, question).Status),
        Is.EqualTo(new[] { HealthStatus.Healthy, HealthStatus.Unhealthy, HealthStatus.Unhealthy }));

    private static IConfigurationRoot Settings(Dictionary<string, string?> values) => new ConfigurationBuilder().AddInMemoryCollection(values).Build();

    private sealed class EarlyUser(ILoomStore store) : IHostedService
    {
        public async Task StartAsync(CancellationToken cancellationToken) =>
            await store.PutAsync("early"u8.ToArray(), "1"u8.ToArray(), cancellationToken: cancellationToken);

        public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    }
}
