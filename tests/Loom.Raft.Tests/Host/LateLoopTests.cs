using System.Net;
using System.Net.Sockets;
using Loom.Raft.Host;
using NUnit.Framework;

namespace Loom.Raft.Tests.Host;

/// <summary>N5 when the loop hangs. Method: the clock of the loop's thread stands still until the test lets it go.</summary>
[NonParallelizable]
public sealed class LateLoopTests
{
    [Test]
    public async Task A_member_whose_loop_hangs_leaves_its_port_at_once_and_its_directory_when_the_loop_ends()
    {
        await using RealCluster cluster = RealCluster.OfThree();
        using var go = new ManualResetEventSlim(true);
        HostSettings settings = RaftNode.SettingsFor(cluster.Options("east"), 7) with
        {
            Now = () =>
            {
                if (Thread.CurrentThread.Name == "loom loop") go.Wait();
                return MonotonicClock.Nanoseconds;
            },
        };
        var machine = new ListMachine();
        RaftNode east = await RaftNode.OpenAsync(settings, machine);
        await cluster.StartAllAsync("west", "south");
        await east.WaitForLeaderAsync(RealCluster.Soon());
        Assert.That(Connects(cluster.PortOf("east")), Is.True);
        try
        {
            go.Reset();
            await east.DisposeAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(5));
            Assert.That(Connects(cluster.PortOf("east")), Is.False, "the port is closed");
            Assert.That(() => cluster["west"].Status.Peers.Count(p => p.Connected), Is.EqualTo(1).After(2000, 10));
            Assert.That(machine.Closed, Is.False, "the loop may still use it");
            Assert.That((await RealCluster.Thrown(() => cluster.StartAsync("east"))).Code, Is.EqualTo(RaftErrorCode.CannotOpen), "the directory is locked");
        }
        finally
        {
            go.Set();
        }
        Assert.That(() => machine.Closed, Is.True.After(5000, 10));
        long until = Environment.TickCount64 + 5000;
        while (!await StartsAsync(cluster, "east")) Assert.That(Environment.TickCount64, Is.LessThan(until), "the directory stayed locked");
        await cluster["east"].WaitForLeaderAsync(RealCluster.Soon());
    }

    private static async Task<bool> StartsAsync(RealCluster cluster, string name)
    {
        try
        {
            await cluster.StartAsync(name);
            return true;
        }
        catch (RaftException e) when (e.Code == RaftErrorCode.CannotOpen)
        {
            await Task.Delay(20);
            return false;
        }
    }

    private static bool Connects(int port)
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            socket.Connect(IPAddress.Loopback, port);
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }
}
