using System.Text;
using Loom.Raft;
using Loom.Store.Hosting;
using Loom.Store.Model;
using Loom.Testing;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using NUnit.Framework;

namespace Loom.Store.Tests.Hosting;

internal sealed class StoreConfigurationTests
{
    private static readonly byte[] Binary = [0xFF, 0xFE, 0x00];

    [Test]
    public async Task Keys_are_read_and_every_change_is_taken_over_deletions_too()
    {
        await using LoomStore store = ImmediateNode.OpenStore();
        await PutAsync(store, "config/Logging/Level", "Warning");
        await PutAsync(store, "config/Empty", "");
        await PutAsync(store, "elsewhere", "x");
        IConfigurationRoot configuration = new ConfigurationBuilder().AddLoom(store, "config/").Build();
        Assert.That((configuration["Logging:Level"], configuration["logging:level"], configuration["Empty"], configuration["elsewhere"]), Is.EqualTo(("Warning", "Warning", "", (string?)null)));
        int reloads = 0;
        using IDisposable watching = Microsoft.Extensions.Primitives.ChangeToken.OnChange(configuration.GetReloadToken, () => reloads++);

        // A transaction arrives whole.
        await store.TransactAsync(t => t.Delete(KeyRange.Single(B("config/Logging/Level"))).Put(B("config/Logging/Sinks/0"), B("file")).Put(B("config/Logging/Sinks/1"), B("console")));
        await UntilAsync(() => configuration["Logging:Sinks:1"] == "console");
        Assert.That((configuration["Logging:Level"], reloads), Is.EqualTo(((string?)null, 1)));
        Assert.That(configuration.GetSection("Logging:Sinks").GetChildren().Select(child => child.Value), Is.EqualTo(new[] { "file", "console" }));
        await store.DeleteAsync(KeyRange.Prefix("config/"));
        await UntilAsync(() => !configuration.AsEnumerable().Any());
        (configuration as IDisposable)?.Dispose();
    }

    /// <summary>Its own replica: what it knows, also while nobody leads.</summary>
    [Test]
    public async Task No_quorum_is_needed_and_compactions_do_not_matter()
    {
        await using LoomStore store = ImmediateNode.OpenStore(out ImmediateNode node);
        Revision at = await PutAsync(store, "config/a", "1");
        node.Fault = _ => new RaftException(RaftErrorCode.NoQuorum, "none");
        IConfigurationRoot configuration = new ConfigurationBuilder().AddLoom(store, "config/").Build();
        Assert.That(configuration["a"], Is.EqualTo("1"));
        node.Fault = null;
        for (int i = 2; i < 50; i++)
        {
            await store.CompactAsync(at = await PutAsync(store, "config/a", $"{i}"));
        }

        await UntilAsync(() => configuration["a"] == "49");
        configuration.Reload();
        Assert.That(configuration["a"], Is.EqualTo("49"));
        await store.DisposeAsync();
        Assert.That(configuration["a"], Is.EqualTo("49"), "what was read stays");
    }

    [Test]
    public async Task A_store_that_serves_nothing_is_an_error_or_if_wanted_an_empty_beginning()
    {
        LoomStore closed = ImmediateNode.OpenStore();
        await closed.DisposeAsync();
        Assert.That(() => new ConfigurationBuilder().AddLoom(closed, "config/").Build(), Throws.InstanceOf<LoomException>().With.Property("Code").EqualTo(LoomErrorCode.Stopped));
        List<LoomErrorCode> faults = [];
        HostedStore later = new();
        IConfigurationRoot configuration = new ConfigurationBuilder().AddLoom(later, "config/", options =>
        {
            options.Optional = true;
            options.OnFault = fault => faults.Add(fault.Code);
        }).Build();
        Assert.That(configuration.AsEnumerable(), Is.Empty);
        await using LoomStore store = ImmediateNode.OpenStore();
        await PutAsync(store, "config/a", "1");
        later.Opened(store);
        await UntilAsync(() => configuration["a"] == "1");
        Assert.That(faults, Is.Not.Empty.And.All.EqualTo(LoomErrorCode.Stopped));
        await PutAsync(store, "config/a", "2");
        await UntilAsync(() => configuration["a"] == "2");
        (configuration as IDisposable)?.Dispose();
    }

    [Test]
    public async Task A_value_that_is_no_text_is_named_at_the_load_and_keeps_its_last_value_later()
    {
        await using LoomStore store = ImmediateNode.OpenStore();
        await store.PutAsync(B("config/Photo"), Binary);
        LoomException thrown = Assert.Throws<LoomException>(() => new ConfigurationBuilder().AddLoom(store, "config/").Build())!;
        Assert.That(thrown.Code, Is.EqualTo(LoomErrorCode.InvalidConfiguration));
        Assert.That(thrown.Message, Does.StartWith("LOOM1072: the value of config/Photo (3 bytes, revision 2) is no UTF-8 text"));
        await store.DeleteAsync(KeyRange.Single(B("config/Photo")));

        await PutAsync(store, "config/a", "1");
        List<string> faults = [];
        IConfigurationRoot configuration = new ConfigurationBuilder().AddLoom(store, "config/", options => options.OnFault = fault =>
        {
            faults.Add(fault.Message);
            throw new InvalidOperationException("nobody's");
        }).Build();
        await store.TransactAsync(t => t.Put(B("config/a"), Binary).Put(B("config/b"), B("2")));
        await UntilAsync(() => configuration["b"] == "2");
        Assert.That(configuration["a"], Is.EqualTo("1"));
        Assert.That(faults.Single(), Does.Contain("the value of config/a"));
        await store.PutAsync((byte[])[.. B("config/"), .. Binary], B("x"));
        await PutAsync(store, "config/a", "3");
        await UntilAsync(() => configuration["a"] == "3");
        Assert.That(faults, Has.Count.EqualTo(2).And.Some.Contains("fffe00"));
        (configuration as IDisposable)?.Dispose();
    }

    [Test]
    public async Task A_listener_that_throws_ends_nothing()
    {
        await using LoomStore store = ImmediateNode.OpenStore();
        await PutAsync(store, "config/a", "1");
        List<string> faults = [];
        IConfigurationRoot configuration = new ConfigurationBuilder().AddLoom(store, "config/", options => options.OnFault = fault => faults.Add(fault.Message)).Build();
        using IDisposable watching = Microsoft.Extensions.Primitives.ChangeToken.OnChange(configuration.GetReloadToken, () => throw new FormatException("no number"));
        await PutAsync(store, "config/a", "2");
        await UntilAsync(() => configuration["a"] == "2");
        await PutAsync(store, "config/a", "3");
        await UntilAsync(() => configuration["a"] == "3");
        Assert.That(faults, Is.Not.Empty.And.All.Contains("LOOM1072: what listens for changes of the configuration threw FormatException: no number"));
        (configuration as IDisposable)?.Dispose();
    }

    /// <summary>Configuration knows no case: the last key in order counts, and when it goes the one before.</summary>
    [Test]
    public async Task Keys_that_differ_in_case_are_one_and_the_separator_may_be_another()
    {
        await using LoomStore store = ImmediateNode.OpenStore();
        await PutAsync(store, "c.A.x", "upper");
        await PutAsync(store, "c.a.x", "lower");
        await PutAsync(store, "c.", "of the prefix itself");
        IConfigurationRoot configuration = new ConfigurationBuilder().AddLoom(store, "c.", options => options.Separator = '.').Build();
        Assert.That(configuration["A:X"], Is.EqualTo("lower"));
        await store.DeleteAsync(KeyRange.Single(B("c.a.x")));
        await UntilAsync(() => configuration["a:x"] == "upper");
        Assert.That(configuration.AsEnumerable().Select(pair => pair.Key), Is.EquivalentTo(new[] { "A", "A:x" }));
        (configuration as IDisposable)?.Dispose();
    }

    [Test]
    public async Task A_hosts_configuration_has_the_keys_when_its_services_start_and_follows_them()
    {
        string directory = Path.Combine(Path.GetTempPath(), "loom-host-" + Guid.NewGuid().ToString("N"));
        try
        {
            await using (LoomStore before = await LoomStore.OpenAsync(new LoomOptions { DataDirectory = directory }))
            {
                await PutAsync(before, "config/Rates/Max", "7");
            }

            HostApplicationBuilder builder = Host.CreateEmptyApplicationBuilder(null);
            List<string> faults = [];
            builder.Services.AddLoom(options => options.DataDirectory = directory).AddConfiguration(builder.Configuration, "config/", options => options.OnFault = fault => faults.Add(fault.Message));
            builder.Services.AddHostedService<Starting>().AddSingleton<IConfiguration>(builder.Configuration).AddSingleton(new Seen());
            using IHost host = builder.Build();
            Assert.That(builder.Configuration["Rates:Max"], Is.Null, "the store is not open yet");
            await host.StartAsync();
            Assert.That(host.Services.GetRequiredService<Seen>().Max, Is.EqualTo("7"));
            await PutAsync(host.Services.GetRequiredService<ILoomStore>(), "config/Rates/Max", "8");
            await UntilAsync(() => builder.Configuration["Rates:Max"] == "8");
            await host.StopAsync();

            // What would be told is told by the thread that follows, a moment later.
            await Task.Delay(300);
            Assert.That(faults, Is.Empty, "a clean stop is no fault");
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    private static byte[] B(string text) => Encoding.UTF8.GetBytes(text);

    private static async Task<Revision> PutAsync(ILoomStore store, string key, string value) => await store.PutAsync(B(key), B(value));

    private static async Task UntilAsync(Func<bool> condition)
    {
        DateTime until = DateTime.UtcNow.AddSeconds(20);
        while (!condition() && DateTime.UtcNow < until)
        {
            await Task.Delay(5);
        }

        Assert.That(condition());
    }

    private sealed class Seen
    {
        public string? Max { get; set; }
    }

    private sealed class Starting(IConfiguration configuration, Seen seen) : IHostedService
    {
        public Task StartAsync(CancellationToken cancellationToken)
        {
            seen.Max = configuration["Rates:Max"];
            return Task.CompletedTask;
        }

        public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    }
}
