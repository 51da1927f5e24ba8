using System.Diagnostics;
using Loom.Testing;

namespace Loom.Scenarios.Patroni;

/// <summary>Two PostgreSQL under Patroni, one of them primary: what an operator has whose failover hangs on this store.</summary>
internal sealed class PatroniPair : IDisposable
{
    private readonly string root;

    private PatroniPair(string root, IReadOnlyList<PatroniMember> members)
    {
        this.root = root;
        Members = members;
    }

    public IReadOnlyList<PatroniMember> Members { get; }

    /// <summary>Skips the test, or with LOOM_REQUIRE_INTEROP=1 fails it, where Patroni or PostgreSQL is absent.</summary>
    public static void Require()
    {
        if (PatroniMember.Missing() is { } reason)
        {
            TestRun.Lack(reason);
        }
    }

    /// <summary>Starts both; returns when one is primary and the other follows it.</summary>
    /// <param name="endpoints">host:port of each member of the store.</param>
    /// <param name="credentials">Further lines of Patroni's etcd3 section, such as a user's name.</param>
    public static async Task<PatroniPair> StartAsync(IEnumerable<string> endpoints, params string[] credentials)
    {
        string root = Directory.CreateTempSubdirectory("loom-patroni-").FullName;
        int[] ports = FreePorts.Take(4);
        string etcd = string.Join('\n', ["etcd3:", $"  hosts: {string.Join(',', endpoints)}", .. credentials.Select(line => "  " + line)]);
        var pair = new PatroniPair(root, [new("pg1", ports[0], ports[1], root, etcd), new("pg2", ports[2], ports[3], root, etcd)]);
        try
        {
            using (Process owner = Process.Start("chown", ["postgres", root]))
            {
                await owner.WaitForExitAsync();
            }

            pair.Members[0].Start();
            await pair.UntilAsync(pair.Members[0].IsWritableAsync, 60, "no primary");
            pair.Members[1].Start();
            await pair.UntilAsync(pair.Members[1].IsFollowingAsync, 60, "no replica");
            return pair;
        }
        catch
        {
            pair.Dispose();
            throw;
        }
    }

    public async Task UntilAsync(Func<Task<bool>> condition, int seconds, string otherwise)
    {
        var watch = Stopwatch.StartNew();
        while (!await condition())
        {
            if (watch.Elapsed.TotalSeconds > seconds)
            {
                throw new TimeoutException($"{otherwise} after {seconds} s\n{string.Join('\n', Members.Select(member => member.Output()))}");
            }

            await Task.Delay(100);
        }
    }

    /// <summary>patronictl, as an operator calls it.</summary>
    public static async Task<string> ControlAsync(PatroniMember at, params string[] arguments)
    {
        using Process control = Process.Start(at.AsPostgres("patronictl", ["-c", at.ConfigurationFile, .. arguments]))!;
        Task<string> error = control.StandardError.ReadToEndAsync();
        string output = await control.StandardOutput.ReadToEndAsync();
        await control.WaitForExitAsync();
        return control.ExitCode == 0 ? output : throw new InvalidOperationException($"patronictl {string.Join(' ', arguments)}: {output}{await error}");
    }

    public void Dispose()
    {
        foreach (PatroniMember member in Members)
        {
            member.Dispose();
        }

        Directory.Delete(root, recursive: true);
    }
}
