using System.CommandLine;
using System.Globalization;
using Grpc.Core;
using Grpc.Net.Client;
using Loom.Server.Hosting.Protos;

namespace Loom.Server.Cli;

/// <summary><c>loom status</c>: the map of the cluster by datacenter. One member tells who the members are; then each is asked for its own view.</summary>
internal static class StatusCommand
{
    private static readonly TimeSpan MemberTimeout = TimeSpan.FromSeconds(1.5);

    /// <summary>A member and its own answer; null: it did not answer.</summary>
    private sealed record Row(ClusterMember Member, ClusterStatusResponse? Own)
    {
        /// <summary>It has no client port to answer at (it is embedded in a process), but another member is connected with it.</summary>
        public bool IsHeardByPeers { get; init; }
    }

    public static Command Create(CommandLineOptions common)
    {
        var command = new Command("status", "Show the members by datacenter, and what may be lost; exit code 5 without a quorum, 9 when a member failed");
        common.SetAction(command, async (_, session) =>
        {
            ClusterStatusResponse first = await FirstAsync(session).ConfigureAwait(false);
            Row[] rows = await Task.WhenAll(first.Members.Select(m => AskAsync(m, first, session))).ConfigureAwait(false);
            rows = [.. rows.Select(r => r with { IsHeardByPeers = r.Own is null && r.Member.ClientUrls.Count == 0 && rows.Any(o => IsConnected(o, r.Member)) }).OrderBy(r => r.Member.Datacenter, StringComparer.Ordinal).ThenBy(r => r.Member.Role == "voter" ? 0 : 1).ThenBy(r => r.Member.Name, StringComparer.Ordinal)];
            Write(session, first, rows);
            return rows.Any(r => r.Own is { Failure.Length: > 0 }) ? ExitCode.Unhealthy : HasQuorum(rows) ? ExitCode.Ok : ExitCode.NoQuorum;
        });
        return command;
    }

    internal static async Task<ClusterStatusResponse> FirstAsync(CommandSession session)
    {
        try
        {
            return await session.Client.ReadAsync((invoker, call) => new Cluster.ClusterClient(invoker).StatusAsync(new ClusterStatusRequest(), call)).ConfigureAwait(false);
        }
        catch (CommandException exception) when (exception.ExitCode == ExitCode.Failure && exception.Message.Contains("nimplemented", StringComparison.Ordinal))
        {
            throw new CommandException(ExitCode.Failure, "this server speaks etcd's API but is no Loom node", "use: etcdctl endpoint status");
        }
    }

    private static async Task<Row> AskAsync(ClusterMember member, ClusterStatusResponse first, CommandSession session)
    {
        if (member.Id == first.MemberId)
        {
            return new Row(member, first);
        }

        foreach (string url in member.ClientUrls)
        {
            try
            {
                using GrpcChannel channel = NodeClient.Open(url, session.Client.Tls);
                var call = new CallOptions(deadline: DateTime.UtcNow + MemberTimeout, cancellationToken: session.CancellationToken);
                ClusterStatusResponse own = await new Cluster.ClusterClient(session.Client.Sign(channel.CreateCallInvoker())).StatusAsync(new ClusterStatusRequest(), call).ConfigureAwait(false);

                // Behind a wrong or shared address another member may answer: its figures are not this one's.
                if (own.MemberId == member.Id && own.ClusterId == first.ClusterId)
                {
                    return new Row(member, own);
                }
            }
            catch (Exception exception) when (exception is RpcException or UriFormatException)
            {
                // The next address, or none.
            }
        }

        session.CancellationToken.ThrowIfCancellationRequested();
        return new Row(member, null);
    }

    private static bool IsConnected(Row row, ClusterMember member) => row.Own?.Members.Any(m => m.Id == member.Id && m.Connected) ?? false;

    private static ClusterMember[] Silent(Row[] rows) => [.. rows.Where(r => r.Own is null && !r.IsHeardByPeers && LossSentence.IsVoter(r.Member)).Select(r => r.Member)];

    private static bool HasQuorum(Row[] rows) => rows.Any(r => r.Own is { NoQuorum: false, LeaderId: not 0 });

    private static void Write(CommandSession session, ClusterStatusResponse first, Row[] rows)
    {
        // The newest term's leader: members that were cut off may still name an older one.
        ClusterStatusResponse newest = rows.Where(r => r.Own is { LeaderId: not 0 }).Select(r => r.Own!).OrderByDescending(o => o.Term).FirstOrDefault() ?? first;
        ulong leader = newest.LeaderId;
        long committed = rows.Max(r => r.Own?.CommitIndex ?? 0);
        ClusterStatusResponse? leaderView = rows.FirstOrDefault(r => r.Member.Id == leader)?.Own;
        if (session.Data.IsJson)
        {
            WriteJson(session.Data, first, rows, leader, committed, leaderView);
            return;
        }

        if (session.Data.Mode == OutputMode.Table)
        {
            string name = rows.FirstOrDefault(r => r.Member.Id == leader)?.Member.Name ?? "none";
            session.Data.Line(string.Create(CultureInfo.InvariantCulture, $"cluster {first.ClusterId:x}  leader {name}  term {newest.Term}  revision {rows.Max(r => r.Own?.Revision ?? 0)}  epoch {rows.Max(r => r.Own?.Epoch ?? 0)}"));
        }

        session.Data.Table(
            ["DATACENTER", "MEMBER", "ROLE", "TERM", "APPLIED", "LAG", "RTT", "ENDPOINT"],
            [.. rows.Select(r => (IReadOnlyList<string>)
            [
                r.Member.Datacenter, r.Member.Name, Role(r, leader), Number(r.Own?.Term), Number(r.Own?.AppliedIndex), Number(r.Own is null ? null : Lag(r, committed)),
                Rtt(r, leaderView), string.Join(' ', r.Member.ClientUrls),
            ])]);
        foreach (Row row in rows.Where(r => r.Own is { Failure.Length: > 0 }))
        {
            session.Data.Line($"{row.Member.Name} failed: {row.Own!.Failure}");
        }

        foreach (Row row in rows)
        {
            foreach (ClusterMember unreached in row.Own?.Members.Where(m => m.Trouble.Length > 0) ?? [])
            {
                session.Data.Line($"{row.Member.Name} has no connection with {unreached.Name}: {unreached.Trouble}");
            }
        }

        foreach (string line in SpaceLines.Of(newest, [.. rows.Select(r => r.Own).OfType<ClusterStatusResponse>()], withSizes: session.Data.Mode == OutputMode.Table))
        {
            session.Data.Line(line);
        }

        session.Data.Line(HasQuorum(rows)
            ? LossSentence.Of(first.Members, Silent(rows), newest.Placement, newest.PlacementGoal)
            : "No quorum: writes and linearizable reads stop until enough voters return.");
    }

    private static void WriteJson(DataWriter data, ClusterStatusResponse first, Row[] rows, ulong leader, long committed, ClusterStatusResponse? leaderView) => data.Json(json =>
    {
        json.WriteString("cluster_id", first.ClusterId.ToString("x", CultureInfo.InvariantCulture));
        json.WriteString("leader", rows.FirstOrDefault(r => r.Member.Id == leader)?.Member.Name);
        json.WriteBoolean("quorum", HasQuorum(rows));
        json.WriteString("placement", first.Placement);
        json.WriteString("placement_goal", first.PlacementGoal);
        json.WriteNumber("further_voters_that_may_be_lost", HasQuorum(rows) ? LossSentence.Further(first.Members, Silent(rows), first.PlacementGoal) : 0);
        json.WriteNumber("size_in_use_bytes", first.SizeInUseBytes);
        json.WriteNumber("quota_bytes", first.QuotaBytes);
        json.WriteStartArray("alarms");
        foreach (ClusterAlarm alarm in first.Alarms)
        {
            json.WriteStartObject();
            json.WriteString("kind", alarm.Kind);
            json.WriteString("member_id", alarm.MemberId.ToString("x", CultureInfo.InvariantCulture));
            json.WriteString("member", rows.FirstOrDefault(r => r.Member.Id == alarm.MemberId)?.Member.Name);
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteStartArray("members");
        foreach (Row row in rows)
        {
            json.WriteStartObject();
            json.WriteString("id", row.Member.Id.ToString("x", CultureInfo.InvariantCulture));
            json.WriteString("name", row.Member.Name);
            json.WriteString("datacenter", row.Member.Datacenter);
            json.WriteString("role", row.Member.Role);
            json.WriteBoolean("reachable", row.Own is not null);
            json.WriteBoolean("heard_by_peers", row.Own is not null || row.IsHeardByPeers);
            json.WriteString("state", Role(row, leader));
            if (row.Own is { } own)
            {
                json.WriteNumber("term", own.Term);
                json.WriteNumber("last_index", own.LastIndex);
                json.WriteNumber("commit_index", own.CommitIndex);
                json.WriteNumber("applied_index", own.AppliedIndex);
                json.WriteNumber("lag", Lag(row, committed));
                json.WriteNumber("revision", own.Revision);
                json.WriteNumber("epoch", own.Epoch);
                json.WriteString("apply_hash", Convert.ToHexStringLower(own.ApplyHash.Span));
                json.WriteString("failure", own.Failure);
                json.WriteNumber("disk_free_bytes", own.DiskFreeBytes);
                json.WriteString("space_refusal", own.SpaceRefusal);
                json.WriteString("version", own.Version);
            }

            if (leaderView?.Members.FirstOrDefault(m => m.Id == row.Member.Id) is { RttMilliseconds: > 0 } seen)
            {
                json.WriteNumber("rtt_milliseconds", Math.Round(seen.RttMilliseconds, 3));
            }

            if (row.Own is not null)
            {
                json.WriteStartObject("no_connection_with");
                foreach (ClusterMember unreached in row.Own.Members.Where(m => m.Trouble.Length > 0))
                {
                    json.WriteString(unreached.Name, unreached.Trouble);
                }

                json.WriteEndObject();
            }

            json.WriteStartArray("client_urls");
            foreach (string url in row.Member.ClientUrls)
            {
                json.WriteStringValue(url);
            }

            json.WriteEndArray();
            json.WriteEndObject();
        }

        json.WriteEndArray();
    });

    /// <summary>What it does now, and what it is for where that differs.</summary>
    private static string Role(Row row, ulong leader) => row.Own switch
    {
        null when row.IsHeardByPeers => $"{row.Member.Role}, no client port",
        null => $"{row.Member.Role}, no answer",
        { Failure.Length: > 0 } => "failed",
        _ when row.Member.Id == leader => "leader",
        { NoQuorum: true } => $"{row.Member.Role}, no quorum",
        _ => row.Member.Role,
    };

    private static long Lag(Row row, long committed) => Math.Max(0, committed - row.Own!.AppliedIndex);

    private static string Number(long? number) => number?.ToString(CultureInfo.InvariantCulture) ?? "-";

    private static string Rtt(Row row, ClusterStatusResponse? leaderView) =>
        leaderView?.Members.FirstOrDefault(m => m.Id == row.Member.Id) is { RttMilliseconds: > 0 } seen
            ? string.Create(CultureInfo.InvariantCulture, $"{seen.RttMilliseconds:0.0} ms")
            : "-";
}
