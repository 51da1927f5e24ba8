using System.Buffers.Binary;
using System.Globalization;
using Loom.Raft;
using Loom.Raft.Membership;
using Loom.Store;
using Loom.Store.Model;

namespace Loom.Bench.Cluster;

/// <summary>One process that embeds the library as a voter of three.</summary>
internal static class LibraryNode
{
    private static readonly string[] Datacenters = ["east", "west", "south"];

    /// <summary>Arguments: directory, index, ports (comma separated).</summary>
    public static async Task<int> RunAsync(string[] args)
    {
        int index = int.Parse(args[1], CultureInfo.InvariantCulture);
        string[] ports = args[2].Split(',');
        await using ILoomStore store = await LoomStore.OpenAsync(new LoomOptions
        {
            Name = $"n{index + 1}",
            Datacenter = Datacenters[index],
            DataDirectory = args[0],
            InitialCluster = [.. Enumerable.Range(0, 3).Select(i => new InitialMember($"n{i + 1}", Datacenters[i], MemberRole.Voter, [$"http://127.0.0.1:{ports[i]}"]))],
        });
        await NodeConsole.ServeAsync(new LibraryConsole(store));
        return 0;
    }

    private sealed class LibraryConsole(ILoomStore store) : INodeConsole
    {
        public bool IsLeader => store.Status.Raft.Role == "leader";

        public async ValueTask<bool> WriteAsync(long number, int size, CancellationToken token)
        {
            try
            {
                await store.PutAsync(Key(number), new byte[size], cancellationToken: token);
                return true;
            }
            catch (LoomException)
            {
                return false;
            }
        }

        public async ValueTask<bool> ReadAsync(long number, CancellationToken token)
        {
            try
            {
                await store.GetAsync(Key(number), ReadConsistency.Linearizable, token);
                return true;
            }
            catch (LoomException)
            {
                return false;
            }
        }

        public async Task<bool> BarrierAsync(CancellationToken token)
        {
            try
            {
                await store.ReadBarrierAsync(token);
                return true;
            }
            catch (Exception e) when (e is LoomException or OperationCanceledException)
            {
                return false;
            }
        }

        public long[] Numbers() => [.. store.Range(new RangeQuery(KeyRange.All) { KeysOnly = true }).Pairs.Select(p => BinaryPrimitives.ReadInt64BigEndian(p.Key.Span))];

        private static byte[] Key(long number)
        {
            byte[] key = new byte[8];
            BinaryPrimitives.WriteInt64BigEndian(key, number);
            return key;
        }
    }
}
