using System.Globalization;
using System.Text;
using Loom.Bench.Baseline;
using Loom.Bench.Cluster;

namespace Loom.Bench.KillTest;

/// <summary>
/// The evidence for docs/decisions/0001. Three nodes. Kill C; A leads with B; writers send numbered 256-byte writes to A, and every acknowledged number is recorded outside of it;
/// then <c>kill -9</c> B, then A. Start B and C only (A stays dead), wait for a leader, a read barrier on it, and look for every acknowledged number.
/// </summary>
internal static class KillTestRun
{
    public static async Task<int> RunAsync(int rounds, string root, string? output, CancellationToken token)
    {
        StringBuilder table = new();
        table.AppendLine("| engine | rounds | rounds with loss | acknowledged | lost |").AppendLine("|---|---|---|---|---|");
        Dictionary<string, (int Rounds, int WithLoss, long Acknowledged, long Lost)> sums = [];
        for (int round = 1; round <= rounds; round++)
        {
            foreach (Func<string, ConsolePeer> make in new Func<string, ConsolePeer>[] { d => new StockPeer(false, d), d => new StockPeer(true, d), d => new LibraryPeer(d) })
            {
                string directory = Path.Combine(root, $"kill-{round}-{Guid.NewGuid():N}");
                await using ConsolePeer peer = make(directory);
                var (acknowledged, lost) = await RoundAsync(peer, token);
                Console.Error.WriteLine($"round {round}: {peer.Name}: {lost} of {acknowledged} acknowledged writes lost");
                var sum = sums.GetValueOrDefault(peer.Name);
                sums[peer.Name] = (sum.Rounds + 1, sum.WithLoss + (lost > 0 ? 1 : 0), sum.Acknowledged + acknowledged, sum.Lost + lost);
                await peer.DisposeAsync();
                Directory.Delete(directory, recursive: true);
            }
        }

        foreach (var (name, sum) in sums)
        {
            table.AppendLine(CultureInfo.InvariantCulture, $"| {name} | {sum.Rounds} | {sum.WithLoss} | {sum.Acknowledged:N0} | {sum.Lost:N0} |");
        }

        Console.WriteLine(table.ToString());
        if (output is not null)
        {
            await File.WriteAllTextAsync(output, $"`dotnet run -c Release --project bench/Loom.Bench -- kill-test --rounds {rounds}`\n\n{table}", token);
        }

        return sums.Where(s => s.Key.StartsWith("Loom", StringComparison.Ordinal)).Sum(s => s.Value.Lost) == 0 ? 0 : 1;
    }

    private static async Task<(long Acknowledged, long Lost)> RoundAsync(ConsolePeer peer, CancellationToken token)
    {
        await peer.StartAsync(token);
        int leader = await peer.LeaderAsync(token);
        int[] others = [.. Enumerable.Range(0, 3).Where(i => i != leader)];
        var (b, c) = (others[0], others[1]);
        peer.Node(c).Kill();

        HashSet<long> acknowledged = [];
        await peer.Node(leader).Input.WriteLineAsync("write 0 256 32");
        await peer.Node(leader).Input.FlushAsync(token);
        Task reader = Task.Run(async () =>
        {
            while (await peer.Node(leader).Output.ReadLineAsync(token) is { } line)
            {
                if (line.StartsWith("a ", StringComparison.Ordinal))
                {
                    acknowledged.Add(long.Parse(line.AsSpan(2), CultureInfo.InvariantCulture));
                }
            }
        }, token);
        await Task.Delay(TimeSpan.FromSeconds(1.5), token);
        peer.Node(b).Kill();
        peer.Node(leader).Kill();
        await reader.WaitAsync(TimeSpan.FromSeconds(10), token);

        await peer.StartNodeAsync(b);
        await peer.StartNodeAsync(c);
        int next = await peer.LeaderAsync(token, b, c);
        for (int attempt = 0; await peer.AskAsync(next, "barrier") != "ok"; attempt++)
        {
            if (attempt == 20)
            {
                throw new InvalidOperationException($"{peer.Name}: no read barrier after the restart");
            }

            await Task.Delay(200, token);
            next = await peer.LeaderAsync(token, b, c);
        }

        string numbers = await peer.AskAsync(next, "numbers") ?? "";
        HashSet<long> present = [.. numbers.Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(n => long.Parse(n, CultureInfo.InvariantCulture))];
        return (acknowledged.Count, acknowledged.Count(n => !present.Contains(n)));
    }
}
