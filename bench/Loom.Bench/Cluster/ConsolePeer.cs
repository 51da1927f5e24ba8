using System.Globalization;
using System.Text.Json;

namespace Loom.Bench.Cluster;

/// <summary>Three child processes of this bench that hold a node each and are talked to over standard input (see <see cref="NodeConsole"/>).</summary>
internal abstract class ConsolePeer(string root) : IPeer
{
    private readonly ChildProcess?[] nodes = new ChildProcess?[3];
    private int[] ports = [];

    public abstract string Name { get; }

    public abstract string Meaning { get; }

    /// <summary>Only the leader takes writes; else the clients are spread over the three processes.</summary>
    protected abstract bool LoadOnLeaderOnly { get; }

    public abstract bool Supports(string operation);

    protected abstract IEnumerable<string> NodeArguments(int index, int[] ports, string directory);

    public async Task StartAsync(CancellationToken cancellationToken)
    {
        Directory.CreateDirectory(root);
        ports = Ports.Free(6);
        for (int i = 0; i < nodes.Length; i++)
        {
            await StartNodeAsync(i);
        }

        await LeaderAsync(cancellationToken);
    }

    public ChildProcess Node(int index) => nodes[index] ?? throw new InvalidOperationException("not started");

    public async Task StartNodeAsync(int index)
    {
        string directory = Path.Combine(root, "n" + (index + 1).ToString(CultureInfo.InvariantCulture));
        Directory.CreateDirectory(directory);
        nodes[index]?.Dispose();
        ChildProcess node = ChildProcess.StartSelf(NodeArguments(index, ports, directory), Path.Combine(root, $"n{index + 1}.log"));
        nodes[index] = node;
        string? line = await node.Output.ReadLineAsync().WaitAsync(TimeSpan.FromSeconds(60));
        if (line != "started")
        {
            throw new InvalidOperationException($"{Name}: node {index + 1} did not start: {line}; see {root}");
        }
    }

    /// <summary>Index of the node that leads, once one does.</summary>
    public async Task<int> LeaderAsync(CancellationToken cancellationToken, params int[] among)
    {
        DateTime until = DateTime.UtcNow.AddSeconds(30);
        while (DateTime.UtcNow < until)
        {
            foreach (int i in among.Length == 0 ? [0, 1, 2] : among)
            {
                if (await AskAsync(i, "leader") == "yes")
                {
                    return i;
                }
            }

            await Task.Delay(50, cancellationToken);
        }

        throw new InvalidOperationException($"{Name}: no leader after 30 s; see {root}");
    }

    public async Task<string?> AskAsync(int index, string line)
    {
        await Node(index).Input.WriteLineAsync(line);
        await Node(index).Input.FlushAsync();
        return await Node(index).Output.ReadLineAsync();
    }

    public async Task<LoadResult> RunAsync(LoadSpec spec, CancellationToken cancellationToken)
    {
        int[] entries = LoadOnLeaderOnly || spec.Clients < 3 ? [await LeaderAsync(cancellationToken)] : [0, 1, 2];
        double cpuBefore = nodes.Sum(n => n!.CpuSeconds());
        string?[] answers = await Task.WhenAll(entries.Select((n, i) => AskAsync(n, "load " + JsonSerializer.Serialize(spec with { Clients = Share(spec.Clients, entries.Length, i) }))));
        double cpu = (nodes.Sum(n => n!.CpuSeconds()) - cpuBefore) * spec.Seconds / (spec.Seconds + spec.WarmupSeconds);
        HdrHistogram.LongHistogram latency = ClosedLoop.NewHistogram();
        double rate = 0;
        long errors = 0;
        foreach (string? answer in answers)
        {
            NodeLoad load = JsonSerializer.Deserialize<NodeLoad>(answer!)!;
            rate += load.OpsPerSecond;
            errors += load.Errors;
            load.Latency.AddTo(latency);
        }

        return ClosedLoop.ToResult(Name, spec, rate, latency, errors, cpu, 0);
    }

    public ValueTask DisposeAsync()
    {
        for (int i = 0; i < nodes.Length; i++)
        {
            nodes[i]?.Dispose();
            nodes[i] = null;
        }

        GC.SuppressFinalize(this);
        return default;
    }

    private static int Share(int clients, int parts, int part) => (clients / parts) + (part < clients % parts ? 1 : 0);
}
