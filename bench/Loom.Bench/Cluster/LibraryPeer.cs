using System.Globalization;

namespace Loom.Bench.Cluster;

/// <summary>Three processes of this bench that each embed the library; the clients call it in process, spread over the three.</summary>
internal sealed class LibraryPeer(string root) : ConsolePeer(root)
{
    public override string Name => "Loom library";

    public override string Meaning => "flushed on a majority, applied where it was asked";

    public override bool Supports(string operation) => operation is "put" or "get" or "sget";

    protected override bool LoadOnLeaderOnly => false;

    protected override IEnumerable<string> NodeArguments(int index, int[] ports, string directory) =>
        ["library-node", directory, index.ToString(CultureInfo.InvariantCulture), string.Join(',', ports)];
}
