using System.Globalization;
using System.Text.Json;

namespace Loom.Bench.Cluster;

/// <summary>What a node in a child process can be asked for.</summary>
internal interface INodeConsole
{
    bool IsLeader { get; }

    /// <summary>Writes a numbered value; true only when it was acknowledged.</summary>
    ValueTask<bool> WriteAsync(long number, int size, CancellationToken token);

    ValueTask<bool> ReadAsync(long number, CancellationToken token);

    /// <summary>Linearizable barrier on this node.</summary>
    Task<bool> BarrierAsync(CancellationToken token);

    /// <summary>All numbered writes that this node has applied.</summary>
    long[] Numbers();
}

/// <summary>
/// One line in, one line out: <c>leader</c>, <c>load JSON</c>, <c>write FROM SIZE WRITERS SECONDS</c> (prints <c>a N</c> for every acknowledged number: what was printed outlives the process),
/// <c>numbers</c>, <c>barrier</c>, <c>exit</c>.
/// </summary>
internal static class NodeConsole
{
    private static readonly Lock OutputGate = new();

    public static async Task ServeAsync(INodeConsole node)
    {
        Say("started");
        while (await Console.In.ReadLineAsync() is { } line)
        {
            string[] words = line.Split(' ', 2);
            switch (words[0])
            {
                case "leader":
                    Say(node.IsLeader ? "yes" : "no");
                    break;
                case "barrier":
                    using (CancellationTokenSource limit = new(TimeSpan.FromSeconds(5)))
                    {
                        Say(await node.BarrierAsync(limit.Token) ? "ok" : "failed");
                    }

                    break;
                case "numbers":
                    Say(string.Join(' ', node.Numbers()));
                    break;
                case "write":
                    string[] w = words[1].Split(' ');
                    _ = WriteLoopAsync(node, long.Parse(w[0], CultureInfo.InvariantCulture), int.Parse(w[1], CultureInfo.InvariantCulture), int.Parse(w[2], CultureInfo.InvariantCulture));
                    break;
                case "load":
                    LoadSpec spec = JsonSerializer.Deserialize<LoadSpec>(words[1])!;
                    Say(JsonSerializer.Serialize(await LoadAsync(node, spec)));
                    break;
                case "exit":
                    return;
                default:
                    Say("what?");
                    break;
            }
        }
    }

    private static async Task<NodeLoad> LoadAsync(INodeConsole node, LoadSpec spec)
    {
        long numbers = Environment.ProcessId * 1_000_000_000L;
        var (rate, latency, errors, _, _) = await ClosedLoop.RunAsync(
            spec,
            (client, sequence) => spec.Operation switch
            {
                "put" => node.WriteAsync(numbers + ((client * 7919L + sequence) % spec.Keys), spec.ValueSize, default),
                _ => node.ReadAsync(numbers + ((client * 7919L + sequence) % spec.Keys), default),
            },
            CancellationToken.None);
        return new NodeLoad(rate, errors, Percentiles.From(latency));
    }

    private static async Task WriteLoopAsync(INodeConsole node, long from, int size, int writers)
    {
        long next = from;
        async Task OneAsync()
        {
            while (true)
            {
                long number = Interlocked.Increment(ref next);
                if (await node.WriteAsync(number, size, default))
                {
                    Say("a " + number.ToString(CultureInfo.InvariantCulture));
                }
                else
                {
                    await Task.Delay(20);
                }
            }
        }

        await Task.WhenAll(Enumerable.Range(0, writers).Select(_ => Task.Run(OneAsync)));
    }

    private static void Say(string line)
    {
        lock (OutputGate)
        {
            Console.Out.WriteLine(line);
            Console.Out.Flush();
        }
    }
}

/// <summary>A node's share of a load.</summary>
internal sealed record NodeLoad(double OpsPerSecond, long Errors, Percentiles Latency);

/// <summary>A compact latency distribution that can be merged: counts by logarithmic bucket of nanoseconds.</summary>
internal sealed record Percentiles(IReadOnlyList<long[]> Buckets)
{
    public static Percentiles From(HdrHistogram.LongHistogram histogram)
    {
        List<long[]> buckets = [];
        foreach (HdrHistogram.Iteration.HistogramIterationValue value in histogram.RecordedValues())
        {
            buckets.Add([value.ValueIteratedTo, value.CountAddedInThisIterationStep]);
        }

        return new(buckets);
    }

    public void AddTo(HdrHistogram.LongHistogram histogram)
    {
        foreach (long[] bucket in Buckets)
        {
            histogram.RecordValueWithCount(bucket[0], bucket[1]);
        }
    }
}
