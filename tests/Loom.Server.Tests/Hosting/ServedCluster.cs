using System.Globalization;
using Loom.Server.Cli;
using Loom.Server.Hosting;
using Loom.Testing;

namespace Loom.Server.Tests.Hosting;

/// <summary>Three datacenters with a voter each, in this process, as <c>loom serve</c> runs them: their flags, their ports, their directories.</summary>
internal sealed class ServedCluster : IAsyncDisposable
{
    public const int Count = 3;

    private static readonly string[] Members = ["east1@east", "west1@west", "south1@south"];

    private readonly CancellationTokenSource?[] stops = new CancellationTokenSource?[Count];
    private readonly Task<int>?[] nodes = new Task<int>?[Count];
    private readonly SharedText[] errors = [new(), new(), new()];
    private readonly string directory = Directory.CreateTempSubdirectory("loom-served-").FullName;
    private readonly int[] ports = FreePorts.Take(2 * Count);
    private readonly string clientScheme;
    private readonly string peerScheme;

    public ServedCluster(bool clientTls = false, bool peerTls = false)
    {
        clientScheme = clientTls ? "https" : "http";
        peerScheme = peerTls ? "https" : "http";
    }

    public string Errors => string.Join('\n', errors.Select(e => e.Read()));

    public static string Name(int i) => Members[i].Split('@')[0];

    /// <summary>In the cluster's directory, which is removed with it.</summary>
    public string At(string file) => Path.Combine(directory, file);

    /// <summary>host:port for clients.</summary>
    public string Endpoint(int i) => string.Create(CultureInfo.InvariantCulture, $"127.0.0.1:{ports[Count + i]}");

    public string ClientUrl(int i) => $"{clientScheme}://{Endpoint(i)}";

    public string PeerUrl(int i) => string.Create(CultureInfo.InvariantCulture, $"{peerScheme}://127.0.0.1:{ports[i]}");

    /// <summary>Starts a member, whose directory may have been used before.</summary>
    public void Start(int i, params string[] more)
    {
        string cluster = string.Join(',', Members.Select((m, n) => $"{m}={PeerUrl(n)}"));
        var stop = new CancellationTokenSource();
        stops[i] = stop;
        errors[i] = new SharedText();
        nodes[i] = Task.Run(() => ServeCommand.RunAsync(
            ["--name", Name(i), "--initial-cluster", cluster, "--data-dir", At(Name(i)), "--listen-client-urls", ClientUrl(i), .. more],
            new Dictionary<string, string>(), TextWriter.Null, errors[i].Writer, StoreOpening.OpenAsync, stop.Token));
    }

    /// <summary>All members that were started have said so.</summary>
    public Task ReadyAsync() =>
        UntilAsync(() => Task.FromResult(Enumerable.Range(0, Count).All(i => nodes[i] is null || errors[i].Read().Contains("ready:", StringComparison.Ordinal))), ready => ready, () => Errors);

    public async Task StopAsync(int i)
    {
        if (nodes[i] is not { } node)
        {
            return;
        }

        await stops[i]!.CancelAsync();
        await node.WaitAsync(TimeSpan.FromSeconds(30));
        stops[i]!.Dispose();
        nodes[i] = null;
    }

    /// <summary>Asks until the answer is good; fails after half a minute.</summary>
    public static async Task<T> UntilAsync<T>(Func<Task<T>> get, Func<T, bool> good, Func<string>? told = null)
    {
        for (int i = 0; i < 600; i++)
        {
            T got = await get();
            if (good(got))
            {
                return got;
            }

            await Task.Delay(50);
        }

        Assert.Fail("it did not come to that. " + told?.Invoke());
        throw new InvalidOperationException();
    }

    public async ValueTask DisposeAsync()
    {
        await Task.WhenAll(Enumerable.Range(0, Count).Select(StopAsync));
        Directory.Delete(directory, recursive: true);
    }
}
