using Loom.Raft.Consensus;
using Loom.Raft.Snapshots;
using Loom.Raft.Transport;
using Loom.Testing;

namespace Loom.Raft.Tests.Snapshots;

/// <summary>Members 1, 2, 3, … on loopback, each with a fetcher and a source.</summary>
internal sealed class TransferCluster : IDisposable
{
    private readonly TransferMember[] members;

    /// <param name="datacenters">One per member.</param>
    /// <param name="limits">Of all sources.</param>
    /// <param name="bytesPerSecond">Of all sources.</param>
    /// <param name="dialled">The port to dial for a member's own one: a proxy's.</param>
    public TransferCluster(string[] datacenters, SourceLimits? limits = null, long bytesPerSecond = long.MaxValue / 4, Func<int, int>? dialled = null)
    {
        int[] ports = FreePorts.Take(datacenters.Length);
        PeerTarget[] targets = [.. datacenters.Select((d, i) => new PeerTarget(IdOf(i + 1), $"m{i + 1}", d, [UrlOf(dialled?.Invoke(ports[i]) ?? ports[i])]))];
        members = [.. datacenters.Select((d, i) => new TransferMember(IdOf(i + 1), d, UrlOf(ports[i]), [.. targets.Where(t => t.Id != IdOf(i + 1))], limits, bytesPerSecond))];
        foreach (TransferMember member in members) member.WaitUntilUp();
    }

    public TransferMember this[int id] => members[id - 1];

    public static MemberId IdOf(int id) => new((ulong)id);

    public void Dispose()
    {
        foreach (TransferMember member in members) member.Dispose();
    }

    private static string UrlOf(int port) => $"http://127.0.0.1:{port}";
}
