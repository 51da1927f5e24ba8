using System.CommandLine;
using System.Globalization;
using Loom.Bench.Baseline;
using Loom.Bench.Cluster;
using Loom.Bench.KillTest;
using Loom.Bench.State;
using Loom.Bench.Streams;

namespace Loom.Bench;

/// <summary>The benchmark harness. Roles of child processes (<c>library-node</c>, <c>dotnext-node</c>) are not commands for people and are dispatched first.</summary>
internal static class Program
{
    public static async Task<int> Main(string[] args)
    {
        switch (args)
        {
            case ["library-node", .. var rest]:
                return await LibraryNode.RunAsync(rest);
            case ["dotnext-node", .. var rest]:
                return await StockNode.RunAsync(rest);
            case ["micro", .. var rest]:
                return Micro.MicroBenchmarks.Run(rest);
            default:
                return await Commands(args).Parse(args).InvokeAsync();
        }
    }

    private static RootCommand Commands(string[] args)
    {
        string commandLine = "dotnet run -c Release --project bench/Loom.Bench -- " + string.Join(' ', args);
        Option<string> output = new("--output") { Description = "Where results go, without extension", DefaultValueFactory = _ => "" };
        Option<string> root = new("--root") { Description = "Directory for data of the clusters (a real disk)", DefaultValueFactory = _ => Path.Combine(Path.GetTempPath(), "loom-bench-" + Environment.ProcessId.ToString(CultureInfo.InvariantCulture)) };
        return new RootCommand("Loom's benchmarks: ratios against peers, interleaved in one run.")
        {
            new Command("micro", "BenchmarkDotNet micro-benchmarks (arguments go to BenchmarkDotNet)"),
            Cluster(commandLine, output, root),
            Simple("kill-test", "kill -9 of a follower and the leader: acknowledged writes lost by stock DotNext Raft and by Loom", output, root,
                new Option<int>("--rounds") { DefaultValueFactory = _ => 10 },
                (rounds, o, r, token) => KillTestRun.RunAsync(rounds, r, Output(o, "kill-test") + ".md", token)),
            Simple("failover", "longest write gap after kill -9 of the leader, etcd and Loom", output, root,
                new Option<int>("--trials") { DefaultValueFactory = _ => 5 },
                (trials, o, r, token) => FailoverRun.RunAsync(trials, r, Output(o, "failover"), commandLine, token)),
            Simple("memory", "resident memory, idle and with keys", output, root,
                new Option<int>("--keys") { DefaultValueFactory = _ => 100_000 },
                (keys, o, r, token) => MemoryRun.RunAsync(keys, 256, r, Output(o, "memory"), commandLine, token)),
            Simple("wan", "commit latency with round trips between datacenters", output, root,
                new Option<string>("--rtt") { Description = "ms east-west,west-south,east-south", DefaultValueFactory = _ => "20,40,80" },
                (rtt, o, r, token) => WanRun.RunAsync(Numbers(rtt), r, Output(o, "wan"), commandLine, token)),
            Simple("state", "disk, memory and restart with many keys, etcd and Loom", output, root,
                new Option<int>("--keys") { DefaultValueFactory = _ => 1_000_000 },
                (keys, o, r, token) => StateRun.RunAsync(keys, 10, r, Output(o, "state"), commandLine, token)),
            Simple("disturbance", "puts while history is compacted and while a member is filled", output, root,
                new Option<int>("--keys") { DefaultValueFactory = _ => 1_000_000 },
                (keys, o, r, token) => DisturbanceRun.RunAsync(keys, 3, r, Output(o, "disturbance"), commandLine, token)),
            Simple("snapshot", "a member without the state is filled from a neighbour, idle and under puts", output, root,
                new Option<int>("--keys") { DefaultValueFactory = _ => 1_000_000 },
                (keys, o, r, token) => SnapshotRun.RunAsync(keys, 3, r, Output(o, "snapshot"), commandLine, token)),
            Streams(commandLine, output, root),
            Simple("soak", "overwrites at half of the maximum rate", output, root,
                new Option<int>("--minutes") { DefaultValueFactory = _ => 30 },
                (minutes, o, r, token) => SoakRun.RunAsync(minutes, r, Output(o, "soak"), commandLine, token)),
            Simple("local", "local get in process, one thread", output, root,
                new Option<int>("--keys") { DefaultValueFactory = _ => 100_000 },
                (keys, o, r, token) => LocalReadRun.RunAsync(keys, 256, r, Output(o, "local-get"), commandLine, token)),
        };
    }

    private static Command Cluster(string commandLine, Option<string> output, Option<string> root)
    {
        Option<string> operations = new("--operations") { DefaultValueFactory = _ => "put" };
        Option<string> clients = new("--clients") { DefaultValueFactory = _ => "1,32,256" };
        Option<double> seconds = new("--seconds") { DefaultValueFactory = _ => 3 };
        Option<int> valueSize = new("--value-size") { DefaultValueFactory = _ => 256 };
        Option<int> keys = new("--keys") { DefaultValueFactory = _ => 100_000 };
        Option<int> rounds = new("--rounds") { DefaultValueFactory = _ => 3 };
        Option<string> peers = new("--peers") { Description = "etcd, loom, library, dotnext, dotnext-safe", DefaultValueFactory = _ => "etcd,loom,library,dotnext,dotnext-safe" };
        Command command = new("cluster", "put, get, sget, range, page, cas under a closed loop, peers side by side") { operations, clients, seconds, valueSize, keys, rounds, peers, output, root };
        command.SetAction((parsed, token) => WithRootAsync(parsed.GetValue(root)!, r => ClusterRun.RunAsync(new ClusterRun.Options(
            parsed.GetValue(operations)!.Split(','), Numbers(parsed.GetValue(clients)!), parsed.GetValue(seconds), parsed.GetValue(valueSize), parsed.GetValue(keys), parsed.GetValue(rounds),
            parsed.GetValue(peers)!.Split(','), Output(parsed.GetValue(output)!, "cluster"), r, commandLine), token)));
        return command;
    }

    private static Command Streams(string commandLine, Option<string> output, Option<string> root)
    {
        Option<int> rounds = new("--rounds") { DefaultValueFactory = _ => 3 };
        Option<double> seconds = new("--seconds") { Description = "Measured time of a load", DefaultValueFactory = _ => 4 };
        Option<string> parts = new("--parts") { Description = "idle, fanout, renewals", DefaultValueFactory = _ => "idle,fanout,renewals" };
        Command command = new("streams", "idle watches, watch fan-out, renewals of leases, etcd and Loom") { rounds, seconds, parts, output, root };
        command.SetAction((parsed, token) => WithRootAsync(parsed.GetValue(root)!, r => StreamsRun.RunAsync(
            new StreamsRun.Options(parsed.GetValue(rounds), parsed.GetValue(seconds), parsed.GetValue(parts)!.Split(','), r, Output(parsed.GetValue(output)!, "streams"), commandLine), token)));
        return command;
    }

    private static Command Simple<T>(string name, string description, Option<string> output, Option<string> root, Option<T> option, Func<T, string, string, CancellationToken, Task<int>> run)
    {
        Command command = new(name, description) { option, output, root };
        command.SetAction((parsed, token) => WithRootAsync(parsed.GetValue(root)!, r => run(parsed.GetValue(option)!, parsed.GetValue(output)!, r, token)));
        return command;
    }

    private static async Task<int> WithRootAsync(string root, Func<string, Task<int>> run)
    {
        Directory.CreateDirectory(root);
        try
        {
            return await run(root);
        }
        finally
        {
            Directory.Delete(root, recursive: true);
        }
    }

    private static string Output(string given, string name) => given.Length > 0 ? given : Path.Combine("bench", "results", name);

    private static int[] Numbers(string list) => [.. list.Split(',').Select(n => int.Parse(n, CultureInfo.InvariantCulture))];
}
