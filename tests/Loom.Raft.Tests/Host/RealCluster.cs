using System.Security.Cryptography;
using Loom.Raft.Host;
using Loom.Raft.Membership;
using Loom.Testing;
using NUnit.Framework;

namespace Loom.Raft.Tests.Host;

/// <summary>Real nodes in this process: real sockets on loopback, real directories under the temporary directory.</summary>
internal sealed class RealCluster : IAsyncDisposable
{
    private readonly string root = Path.Combine(Path.GetTempPath(), "loom-host-tests", Path.GetRandomFileName());
    private readonly SortedDictionary<string, ListDisk> disks = new(StringComparer.Ordinal);
    private readonly SortedDictionary<string, (RaftNode Node, ListMachine Machine)> running = new(StringComparer.Ordinal);

    public RealCluster(params (string Name, MemberRole Role)[] members)
    {
        int[] ports = FreePorts.Take(members.Length);
        List = members.Length == 1 ? [] : [.. members.Select((m, i) => new InitialMember(m.Name, "dc-" + m.Name, m.Role, [$"http://127.0.0.1:{ports[i]}"]))];
    }

    public static RealCluster OfThree() => new(("east", MemberRole.Voter), ("west", MemberRole.Voter), ("south", MemberRole.Voter));

    public IReadOnlyList<InitialMember> List { get; }

    /// <summary>Machines take checkpoints, on disks that outlive them; otherwise their state is replayed.</summary>
    public bool HasDisks { get; init; }

    /// <summary>For every member that is started from now on.</summary>
    public Action<RaftNodeOptions> Change { get; set; } = static _ => { };

    public IEnumerable<RaftNode> Nodes => running.Values.Select(r => r.Node);

    public RaftNode this[string name] => running[name].Node;

    public ListMachine Machine(string name) => running[name].Machine;

    /// <summary>What its machine has on disk.</summary>
    public ListDisk Disk(string name)
    {
        if (!disks.TryGetValue(name, out ListDisk? disk)) disks.Add(name, disk = new ListDisk());
        return disk;
    }

    public string DirectoryOf(string name) => Path.Combine(root, name);

    public int PortOf(string name) => new Uri(List.Single(m => m.Name == name).PeerUrls[0]).Port;

    public RaftNodeOptions Options(string name) => new()
    {
        Name = name,
        DataDirectory = DirectoryOf(name),
        InitialCluster = List,
        AdvertiseClientUrls = [$"http://{name}:2379"],
        HeartbeatInterval = TimeSpan.FromMilliseconds(50),
        ElectionTimeout = TimeSpan.FromMilliseconds(500),
        RequestTimeout = TimeSpan.FromSeconds(10),
    };

    public async Task<RaftNode> StartAsync(string name, Action<RaftNodeOptions>? change = null, TimeSpan? seekLimit = null)
    {
        RaftNodeOptions options = Options(name);
        Change(options);
        change?.Invoke(options);
        var machine = new ListMachine(HasDisks ? Disk(name) : null);
        HostSettings settings = RaftNode.SettingsFor(options, BitConverter.ToUInt64(RandomNumberGenerator.GetBytes(8)));
        RaftNode node = await RaftNode.OpenAsync(settings with { SeekLimit = seekLimit ?? settings.SeekLimit, Silence = TimeSpan.FromSeconds(1) }, machine);
        running[name] = (node, machine);
        return node;
    }

    public async Task StartAllAsync(params string[] names)
    {
        foreach (string name in names.Length > 0 ? names : [.. List.Select(m => m.Name)]) await StartAsync(name);
        foreach (RaftNode node in Nodes) await node.WaitForLeaderAsync(Soon());
    }

    public async Task StopAsync(string name)
    {
        (RaftNode node, _) = running[name];
        running.Remove(name);
        await node.DisposeAsync();
    }

    public string LeaderName()
    {
        foreach ((string name, (RaftNode node, _)) in running)
        {
            if (node.Status.Role == "leader") return name;
        }
        return "";
    }

    public async Task<string> LeaderAsync()
    {
        CancellationToken limit = Soon();
        while (LeaderName().Length == 0) await Task.Delay(10, limit);
        return LeaderName();
    }

    /// <summary>Everybody has applied the same; returns the hash.</summary>
    public async Task AssertEqualAsync()
    {
        long index = Nodes.Max(n => n.Status.CommitIndex);
        foreach (RaftNode node in Nodes) await node.WaitAsync(s => s.AppliedIndex >= index, Soon());
        RaftNodeStatus[] all = [.. Nodes.Select(n => n.Status)];
        if (all.Select(s => s.AppliedIndex).Distinct().Count() == 1) Assert.That(all.Select(s => s.ApplyHash).Distinct().Count(), Is.EqualTo(1));
        int count = running.Values.Min(r => r.Machine.Payloads.Count);
        string[][] payloads = [.. running.Values.Select(r => r.Machine.Payloads.Take(count).Select(p => Convert.ToHexString(p.AsSpan(0, Math.Min(p.Length, 32)))).ToArray())];
        Assert.That(payloads.Skip(1), Is.All.EqualTo(payloads[0]));
    }

    /// <summary>The exception of the call; a call that succeeds is a failure.</summary>
    public static async Task<RaftException> Thrown(Func<Task> call)
    {
        try
        {
            await call();
        }
        catch (RaftException e)
        {
            return e;
        }
        throw new AssertionException("the call succeeded");
    }

    public static CancellationToken Soon(int seconds = 10) => new CancellationTokenSource(TimeSpan.FromSeconds(seconds)).Token;

    public async ValueTask DisposeAsync()
    {
        await Task.WhenAll(running.Values.Select(r => r.Node.DisposeAsync().AsTask()));
        if (Directory.Exists(root)) Directory.Delete(root, recursive: true);
    }
}
