using System.Diagnostics;
using System.Globalization;
using Loom.Scenarios.Processes;

namespace Loom.Scenarios.Patroni;

/// <summary>One PostgreSQL under a real Patroni, as its packages for Debian have them, whose store is the cluster at the given endpoints. Runs as the user postgres: PostgreSQL refuses root.</summary>
internal sealed class PatroniMember(string name, int sqlPort, int restPort, string root, string etcdSettings) : IDisposable
{
    private const string Binaries = "/usr/lib/postgresql/15/bin";
    private readonly HttpClient rest = new() { BaseAddress = new Uri(string.Create(CultureInfo.InvariantCulture, $"http://127.0.0.1:{restPort}")), Timeout = TimeSpan.FromSeconds(1) };
    private readonly WatchedProcess process = new();

    public string Name => name;

    public string ConfigurationFile => Path.Combine(root, name + ".yml");

    private string DataDirectory => Path.Combine(root, name, "data");

    /// <summary>Null: it is all there. Else what is missing.</summary>
    public static string? Missing() =>
        !File.Exists("/usr/bin/patroni") ? "patroni is not installed (apt-get install patroni python3-psycopg2)"
        : !File.Exists(Binaries + "/postgres") ? "PostgreSQL 15 is not installed (apt-get install postgresql-15)"
        : null;

    public void Start()
    {
        File.WriteAllText(ConfigurationFile, Settings());
        process.Start(AsPostgres("patroni", ConfigurationFile));
    }

    /// <summary>The machine dies: Patroni and PostgreSQL at once, by kill -9.</summary>
    public void Kill()
    {
        process.Kill();
        string file = Path.Combine(DataDirectory, "postmaster.pid");
        if (File.Exists(file) && int.TryParse(File.ReadLines(file).First(), NumberStyles.None, CultureInfo.InvariantCulture, out int postmaster))
        {
            try
            {
                using Process database = Process.GetProcessById(postmaster);
                database.Kill();
                database.WaitForExit(5000);
            }
            catch (ArgumentException)
            {
                // It has gone already.
            }
        }
    }

    /// <summary>What Patroni's own check says: "primary" and "replica" are 200 or not.</summary>
    public async Task<bool> IsAsync(string role)
    {
        try
        {
            using HttpResponseMessage response = await rest.GetAsync(new Uri("/" + role, UriKind.Relative));
            return response.IsSuccessStatusCode;
        }
        catch (Exception exception) when (exception is HttpRequestException or TaskCanceledException)
        {
            return false;
        }
    }

    /// <summary>It has the lock and its database takes writes: the promotion is behind it.</summary>
    public async Task<bool> IsWritableAsync() => await IsAsync("primary") && await SqlAsync("select pg_is_in_recovery()") == "f";

    /// <summary>It follows the primary: what is written there arrives here.</summary>
    public async Task<bool> IsFollowingAsync() => await IsAsync("replica") && await SqlAsync("select count(*) from pg_stat_wal_receiver where status = 'streaming'") == "1";

    /// <summary>Runs a statement; null when the database does not take it.</summary>
    public async Task<string?> SqlAsync(string statement)
    {
        ProcessStartInfo start = AsPostgres(
            Binaries + "/psql", "-h", "127.0.0.1", "-p", sqlPort.ToString(CultureInfo.InvariantCulture), "-U", "postgres", "-d", "postgres", "-Atqc", statement);
        start.Environment["PGCONNECT_TIMEOUT"] = "2";
        using Process psql = Process.Start(start)!;
        Task<string> error = psql.StandardError.ReadToEndAsync();
        string rows = await psql.StandardOutput.ReadToEndAsync();
        await psql.WaitForExitAsync();
        string said = await error;
        if (psql.ExitCode != 0)
        {
            process.Note($"psql: {said}");
        }

        return psql.ExitCode == 0 ? rows.Trim() : null;
    }

    /// <summary>Waits for the next round in which it renewed its lock: behind it, a kill is always as long before the lock's end.</summary>
    public async Task RenewedAsync(TimeSpan limit)
    {
        int Rounds() => process.Lines.Count(line => line.Contains("the leader with the lock", StringComparison.Ordinal));

        int before = Rounds();
        var watch = Stopwatch.StartNew();
        while (Rounds() == before)
        {
            if (watch.Elapsed > limit)
            {
                throw new TimeoutException($"{name} renewed nothing for {limit.TotalSeconds} s\n{Output()}");
            }

            await Task.Delay(20);
        }
    }

    public string Output() => $"== {name}\n{process.Tail(40)}";

    public void Dispose()
    {
        Kill();
        process.Dispose();
        rest.Dispose();
    }

    internal ProcessStartInfo AsPostgres(string program, params string[] arguments)
    {
        string[] line = Environment.UserName == "root" ? ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", program, .. arguments] : [program, .. arguments];
        var start = new ProcessStartInfo(line[0], line[1..]) { RedirectStandardOutput = true, RedirectStandardError = true, WorkingDirectory = root };
        start.Environment["HOME"] = root;
        start.Environment["LC_ALL"] = "C.UTF-8";
        return start;
    }

    /// <summary>ttl 20 is the least that Patroni takes. PostgreSQL does not flush: no disk fails here, and these tests are not about it.</summary>
    private string Settings() => $$"""
        scope: demo
        name: {{name}}
        restapi:
          listen: 127.0.0.1:{{restPort}}
          connect_address: 127.0.0.1:{{restPort}}
        {{etcdSettings}}
        bootstrap:
          dcs:
            ttl: 20
            loop_wait: 2
            retry_timeout: 5
            maximum_lag_on_failover: 1048576
            postgresql:
              use_pg_rewind: true
              remove_data_directory_on_rewind_failure: true
              remove_data_directory_on_diverged_timelines: true
              parameters:
                wal_log_hints: "on"
                max_connections: 20
                shared_buffers: 16MB
                fsync: "off"
          initdb:
          - encoding: UTF8
          - data-checksums
          pg_hba:
          - local all all trust
          - host all all 127.0.0.1/32 trust
          - host replication all 127.0.0.1/32 trust
        postgresql:
          listen: 127.0.0.1:{{sqlPort}}
          connect_address: 127.0.0.1:{{sqlPort}}
          data_dir: {{DataDirectory}}
          bin_dir: {{Binaries}}
          pgpass: {{root}}/{{name}}.pgpass
          authentication:
            superuser: {username: postgres, password: x}
            replication: {username: replicator, password: x}
            rewind: {username: rewinder, password: x}
          parameters:
            unix_socket_directories: {{root}}/{{name}}
        """;
}
