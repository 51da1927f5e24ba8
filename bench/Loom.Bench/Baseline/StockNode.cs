using System.Buffers.Binary;
using System.Globalization;
using System.Net;
using DotNext.Net.Cluster.Consensus.Raft;
using DotNext.Net.Cluster.Consensus.Raft.Membership;
using DotNext.Net.Cluster.Consensus.Raft.StateMachine;
using Loom.Bench.Cluster;

namespace Loom.Bench.Baseline;

/// <summary>One process of DotNext's stock Raft (6.12.0), talked to over standard input.</summary>
internal static class StockNode
{
    /// <summary>Arguments: directory, index, ports (comma separated), safe|stock.</summary>
    public static async Task<int> RunAsync(string[] args)
    {
        string directory = args[0];
        int index = int.Parse(args[1], CultureInfo.InvariantCulture);
        int[] ports = [.. args[2].Split(',').Select(p => int.Parse(p, CultureInfo.InvariantCulture))];
        bool safe = args[3] == "safe";

        StockMachine machine = new();
        WriteAheadLog.Options options = new() { Location = directory, ChunkSize = 16 << 20 };
        await using WriteAheadLog log = safe ? new FlushBeforeAckLog(options, machine) : new WriteAheadLog(options, machine);
        RaftCluster.TcpConfiguration settings = new(new IPEndPoint(IPAddress.Loopback, ports[index]))
        {
            ConfigurationStorage = null!,
            ColdStart = false,
            // As the others' 1 s: with its defaults (150 to 300 ms) it elects without end on a busy machine.
            LowerElectionTimeout = 1000,
            UpperElectionTimeout = 2000,
            RequestTimeout = TimeSpan.FromMilliseconds(1000),
        };
        var members = ((InMemoryClusterConfigurationStorage<EndPoint>)settings.ConfigurationStorage).CreateInitialConfigurationBuilder();
        foreach (int port in ports)
        {
            members.Add(new IPEndPoint(IPAddress.Loopback, port));
        }

        members.Build();
        await using RaftCluster cluster = new(settings) { AuditTrail = log };
        await cluster.StartAsync(CancellationToken.None);
        await NodeConsole.ServeAsync(new StockConsole(cluster, machine));
        return 0;
    }

    private sealed class StockConsole(RaftCluster cluster, StockMachine machine) : INodeConsole
    {
        public bool IsLeader => !cluster.LeadershipToken.IsCancellationRequested;

        public async ValueTask<bool> WriteAsync(long number, int size, CancellationToken token)
        {
            byte[] command = new byte[Math.Max(8, size)];
            BinaryPrimitives.WriteInt64LittleEndian(command, number);
            TaskCompletionSource<long> applied = new(TaskCreationOptions.RunContinuationsAsynchronously);
            try
            {
                await cluster.ReplicateAsync(new BinaryLogEntry { Content = command, Term = cluster.Term, CommandId = 1, Context = applied }, token);
                await applied.Task.WaitAsync(TimeSpan.FromSeconds(10), token);
                return true;
            }
            catch (Exception e) when (e is not OutOfMemoryException)
            {
                return false; // Outcome unknown: not acknowledged.
            }
        }

        public ValueTask<bool> ReadAsync(long number, CancellationToken token) => new(false);

        public async Task<bool> BarrierAsync(CancellationToken token)
        {
            try
            {
                await cluster.ApplyReadBarrierAsync(token: token);
                return true;
            }
            catch (Exception e) when (e is not OutOfMemoryException)
            {
                return false;
            }
        }

        public long[] Numbers() => machine.Numbers();
    }
}
