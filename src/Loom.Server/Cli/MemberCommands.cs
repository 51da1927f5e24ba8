using System.CommandLine;
using System.Globalization;
using Loom.Server.Hosting.Protos;

namespace Loom.Server.Cli;

/// <summary><c>loom member list</c>.</summary>
internal static class MemberCommands
{
    public static Command Create(CommandLineOptions common)
    {
        var list = new Command("list", "List the members: id, name, datacenter, role, URLs");
        common.SetAction(list, async (_, session) =>
        {
            ClusterStatusResponse status = await StatusCommand.FirstAsync(session).ConfigureAwait(false);
            if (session.Data.Mode == OutputMode.Json)
            {
                session.Data.Json(json =>
                {
                    json.WriteStartArray("members");
                    foreach (ClusterMember member in status.Members)
                    {
                        json.WriteStartObject();
                        Fill(json, member);
                        json.WriteEndObject();
                    }

                    json.WriteEndArray();
                });
            }
            else if (session.Data.IsJson)
            {
                foreach (ClusterMember member in status.Members)
                {
                    session.Data.Json(json => Fill(json, member));
                }
            }
            else
            {
                session.Data.Table(
                    ["ID", "NAME", "DATACENTER", "ROLE", "PEER URLS", "CLIENT URLS"],
                    [.. status.Members.Select(m => (IReadOnlyList<string>)
                        [Id(m), m.Name, m.Datacenter, m.Role, string.Join(',', m.PeerUrls), string.Join(',', m.ClientUrls)])]);
            }

            return ExitCode.Ok;
        });
        var command = new Command("member", "The members of the cluster");
        command.Subcommands.Add(list);
        return command;
    }

    private static void Fill(System.Text.Json.Utf8JsonWriter json, ClusterMember member)
    {
        json.WriteString("id", Id(member));
        json.WriteString("name", member.Name);
        json.WriteString("datacenter", member.Datacenter);
        json.WriteString("role", member.Role);
        Urls(json, "peer_urls", member.PeerUrls);
        Urls(json, "client_urls", member.ClientUrls);
    }

    private static void Urls(System.Text.Json.Utf8JsonWriter json, string name, IEnumerable<string> urls)
    {
        json.WriteStartArray(name);
        foreach (string url in urls)
        {
            json.WriteStringValue(url);
        }

        json.WriteEndArray();
    }

    private static string Id(ClusterMember member) => member.Id.ToString("x", CultureInfo.InvariantCulture);
}
