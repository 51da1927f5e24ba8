using System.Diagnostics;
using System.Globalization;
using Loom.Scenarios.Processes;
using Loom.Testing;
using NUnit.Framework;

namespace Loom.Scenarios.Patroni;

/// <summary>
/// A figure, not a check: how long a database is without a primary after its machine died, with Patroni's ttl of 20 s, on three members of etcd and on three of this store. The kill comes right behind a renewal, so that
/// every round waits for the whole of the ttl; what is left over is the store's: how exactly it ends the lock, and how soon it tells.
/// Run: LOOM_FIGURES=5 dotnet test tests/Loom.Scenarios --filter PatroniFailoverFigures --logger "console;verbosity=detailed"
/// </summary>
[NonParallelizable]
public sealed class PatroniFailoverFigures
{
    private static readonly int Trials = int.Parse(Environment.GetEnvironmentVariable("LOOM_FIGURES") ?? "0", CultureInfo.InvariantCulture);

    [Test]
    public async Task On_etcd()
    {
        RequireTrials();
        using var store = await EtcdTrio.StartAsync();
        await MeasureAsync("etcd 3.4.23", store.Endpoints);
    }

    [Test]
    public async Task On_loom()
    {
        RequireTrials();
        string root = Directory.CreateTempSubdirectory("loom-patroni-store-").FullName;
        using (LoomCluster store = await LoomCluster.StartThreeAsync(root))
        {
            await MeasureAsync("loom", store.Nodes.Select(node => node.Endpoint["http://".Length..]));
        }

        Directory.Delete(root, recursive: true);
    }

    private static void RequireTrials()
    {
        PatroniPair.Require();
        if (Trials == 0)
        {
            Assert.Ignore("measures for minutes: LOOM_FIGURES=5 asks for five trials");
        }
    }

    private static async Task MeasureAsync(string name, IEnumerable<string> endpoints)
    {
        using PatroniPair pair = await PatroniPair.StartAsync(endpoints);
        PatroniMember primary = pair.Members[0];
        PatroniMember replica = pair.Members[1];
        var seconds = new List<double>();
        for (int i = 0; i < Trials; i++)
        {
            await primary.RenewedAsync(TimeSpan.FromSeconds(10));
            await Task.Delay(200);
            primary.Kill();
            var watch = Stopwatch.StartNew();
            await pair.UntilAsync(replica.IsWritableAsync, 60, "no failover");
            seconds.Add(watch.Elapsed.TotalSeconds);
            primary.Start();
            await pair.UntilAsync(primary.IsFollowingAsync, 60, "the old primary does not follow");
            (primary, replica) = (replica, primary);
        }

        seconds.Sort();
        await TestContext.Out.WriteLineAsync(string.Create(
            CultureInfo.InvariantCulture, $"{name}: {Trials} trials, {seconds[0]:F1} to {seconds[^1]:F1} s without a primary, median {seconds[seconds.Count / 2]:F1}; all: {string.Join(' ', seconds.Select(one => one.ToString("F1", CultureInfo.InvariantCulture)))}"));
    }

    /// <summary>Three real members of etcd on loopback.</summary>
    private sealed class EtcdTrio : IDisposable
    {
        private readonly string root;
        private readonly List<Process> processes = [];

        private EtcdTrio(string root, IReadOnlyList<string> endpoints)
        {
            this.root = root;
            Endpoints = endpoints;
        }

        public IReadOnlyList<string> Endpoints { get; }

        public static async Task<EtcdTrio> StartAsync()
        {
            string root = Directory.CreateTempSubdirectory("loom-etcd-").FullName;
            int[] ports = FreePorts.Take(6);
            string Url(int i) => string.Create(CultureInfo.InvariantCulture, $"http://127.0.0.1:{ports[i]}");
            var trio = new EtcdTrio(root, [.. Enumerable.Range(0, 3).Select(i => Url(i)["http://".Length..])]);
            string cluster = string.Join(',', Enumerable.Range(0, 3).Select(i => $"n{i}={Url(3 + i)}"));
            for (int i = 0; i < 3; i++)
            {
                trio.processes.Add(Process.Start(new ProcessStartInfo("etcd",
                [
                    "--name", $"n{i}", "--data-dir", Path.Combine(root, $"n{i}"), "--listen-client-urls", Url(i), "--advertise-client-urls", Url(i), "--listen-peer-urls", Url(3 + i),
                    "--initial-advertise-peer-urls", Url(3 + i), "--initial-cluster", cluster, "--logger", "zap", "--log-outputs", "/dev/null",
                ]))!);
            }

            using var http = new HttpClient();
            var watch = Stopwatch.StartNew();
            while (!await IsHealthyAsync(http, Url(0)))
            {
                if (watch.Elapsed.TotalSeconds > 20)
                {
                    throw new TimeoutException("etcd does not serve");
                }

                await Task.Delay(100);
            }

            return trio;
        }

        public void Dispose()
        {
            foreach (Process process in processes)
            {
                process.Kill();
                process.WaitForExit();
                process.Dispose();
            }

            Directory.Delete(root, recursive: true);
        }

        private static async Task<bool> IsHealthyAsync(HttpClient http, string url)
        {
            try
            {
                using HttpResponseMessage response = await http.GetAsync(new Uri(url + "/health"));
                return response.IsSuccessStatusCode;
            }
            catch (HttpRequestException)
            {
                return false;
            }
        }
    }
}
