using System.Globalization;
using Loom.Bench.Cluster;

namespace Loom.Bench.Baseline;

/// <summary>Three processes of DotNext's stock Raft; the load is put on the leader, the only one that takes writes.</summary>
internal sealed class StockPeer(bool safe, string root) : ConsolePeer(root)
{
    public override string Name => safe ? "DotNext stock, flush before ack" : "DotNext stock";

    public override string Meaning => safe ? "flushed on a majority (with our patch)" : "in memory of a majority, flushed on the leader: NOT safe";

    public override bool Supports(string operation) => operation == "put";

    protected override bool LoadOnLeaderOnly => true;

    protected override IEnumerable<string> NodeArguments(int index, int[] ports, string directory) =>
        ["dotnext-node", directory, index.ToString(CultureInfo.InvariantCulture), string.Join(',', ports.Take(3)), safe ? "safe" : "stock"];
}
