using System.Globalization;
using System.Text;

namespace Loom.Bench.Cluster;

/// <summary>Resident memory of each member: idle, and with keys loaded; etcd beside it.</summary>
internal static class MemoryRun
{
    public static async Task<int> RunAsync(int keys, int valueSize, string root, string output, string commandLine, CancellationToken token)
    {
        StringBuilder text = new();
        text.AppendLine(CultureInfo.InvariantCulture, $"`{commandLine}`").AppendLine().AppendLine(CultureInfo.InvariantCulture, $"Commit {Report.Commit()}, {DateTime.UtcNow:yyyy-MM-dd HH:mm} UTC, {Report.Machine()}. VmRSS of each of three members, MiB.").AppendLine();
        text.AppendLine(CultureInfo.InvariantCulture, $"| peer | idle (after 10 s) | {keys:N0} keys of {valueSize} B (10 s after) |").AppendLine("|---|---|---|");
        foreach (EtcdApiPeer peer in new EtcdApiPeer[] { new EtcdPeer(Path.Combine(root, "etcd")), new LoomNodePeer(Path.Combine(root, "loom")) })
        {
            await using (peer)
            {
                await peer.StartAsync(token);
                await Task.Delay(TimeSpan.FromSeconds(10), token);
                string idle = Resident(peer);
                await peer.LoadKeysAsync(keys, valueSize, token);
                await Task.Delay(TimeSpan.FromSeconds(10), token);
                string loaded = Resident(peer);
                text.AppendLine(CultureInfo.InvariantCulture, $"| {peer.Name} | {idle} | {loaded} |");
                Console.Error.WriteLine($"{peer.Name}: idle {idle}, loaded {loaded}");
            }
        }

        Directory.CreateDirectory(Path.GetDirectoryName(output) ?? ".");
        await File.WriteAllTextAsync(output + ".md", text.ToString(), token);
        Console.WriteLine(text.ToString());
        return 0;
    }

    private static string Resident(EtcdApiPeer peer) =>
        string.Join(" · ", peer.Nodes.Select(n => (n.ResidentBytes() >> 20).ToString(CultureInfo.InvariantCulture)));
}
