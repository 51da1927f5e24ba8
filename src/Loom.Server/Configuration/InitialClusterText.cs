using Loom.Raft;
using Loom.Raft.Membership;

namespace Loom.Server.Configuration;

/// <summary>
/// The text of <c>--initial-cluster</c>: <c>name@datacenter=url</c>, <c>name@datacenter/standby=url</c>, or etcd's plain <c>name=url</c> (each member is then its
/// own datacenter). A name may come several times, with one URL each.
/// </summary>
internal static class InitialClusterText
{
    public static IReadOnlyList<InitialMember> Parse(string text)
    {
        var members = new List<InitialMember>();
        foreach (string entry in text.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
        {
            InitialMember parsed = ParseEntry(entry);
            int known = members.FindIndex(m => m.Name == parsed.Name);
            if (known < 0)
            {
                members.Add(parsed);
                continue;
            }

            InitialMember before = members[known];
            if (before.Datacenter != parsed.Datacenter || before.Role != parsed.Role)
            {
                throw new ConfigurationException(
                    $"--initial-cluster gives {parsed.Name} two datacenters or roles", $"write {parsed.Name}@{before.Datacenter} with every one of its URLs");
            }

            members[known] = before with { PeerUrls = [.. before.PeerUrls, .. parsed.PeerUrls] };
        }

        CheckUrls(members);
        if (members.Count > 0 && members.TrueForAll(m => m.Role != MemberRole.Voter))
        {
            throw new ConfigurationException("--initial-cluster lists only standbys; nobody could vote", "leave /standby out for one member of each datacenter");
        }

        return members;
    }

    private static InitialMember ParseEntry(string entry)
    {
        int equals = entry.IndexOf('=', StringComparison.Ordinal);
        if (equals <= 0 || equals == entry.Length - 1)
        {
            throw new ConfigurationException(
                $"--initial-cluster has '{entry}', which is not name@datacenter=url", "write each member as name@datacenter=http://host:port");
        }

        string who = entry[..equals];
        string url = PeerUrl.Check("--initial-cluster", entry[(equals + 1)..]);
        int at = who.IndexOf('@', StringComparison.Ordinal);
        if (at < 0)
        {
            return new InitialMember(who, who, MemberRole.Voter, [url]);
        }

        string name = who[..at];
        string place = who[(at + 1)..];
        int slash = place.IndexOf('/', StringComparison.Ordinal);
        string role = slash < 0 ? "voter" : place[(slash + 1)..];
        string datacenter = slash < 0 ? place : place[..slash];
        if (name.Length == 0 || datacenter.Length == 0)
        {
            throw new ConfigurationException(
                $"--initial-cluster has '{entry}' without a name or a datacenter", "write each member as name@datacenter=http://host:port");
        }

        return role switch
        {
            "voter" => new InitialMember(name, datacenter, MemberRole.Voter, [url]),
            "standby" => new InitialMember(name, datacenter, MemberRole.Standby, [url]),
            _ => throw new ConfigurationException($"--initial-cluster gives {name} the role '{role}'", "write /standby, or nothing for a voter"),
        };
    }

    private static void CheckUrls(List<InitialMember> members)
    {
        var owners = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (InitialMember member in members)
        {
            foreach (string url in member.PeerUrls)
            {
                if (!owners.TryAdd(url, member.Name))
                {
                    throw new ConfigurationException($"--initial-cluster gives {url} to {owners[url]} and to {member.Name}", "give every member URLs of its own");
                }
            }
        }
    }
}

/// <summary>Checks the URLs that members and clients listen on or are told.</summary>
internal static class PeerUrl
{
    /// <summary>The URL in the form host and port that all members write alike.</summary>
    public static string Check(string setting, string text)
    {
        if (text.StartsWith("unix", StringComparison.OrdinalIgnoreCase))
        {
            throw new ConfigurationException($"{setting} has {text}, and Unix sockets are not served", "write http://host:port");
        }

        if (!Uri.TryCreate(text, UriKind.Absolute, out Uri? uri) || uri.Scheme is not ("http" or "https") || uri.AbsolutePath != "/" || uri.Query.Length > 0 || !HasPort(text))
        {
            throw new ConfigurationException($"{setting} has '{text}', which is not http://host:port", "write http://host:port or https://host:port");
        }

        return $"{uri.Scheme}://{uri.Authority}{(uri.IsDefaultPort ? $":{uri.Port}" : "")}";
    }

    /// <summary>URLs separated by commas, checked.</summary>
    public static IReadOnlyList<string> CheckAll(string setting, string text) =>
        [.. text.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries).Select(url => Check(setting, url)).Distinct(StringComparer.Ordinal)];

    private static bool HasPort(string text)
    {
        int colon = text.LastIndexOf(':');
        return colon > text.IndexOf(':', StringComparison.Ordinal) && text[(colon + 1)..].TrimEnd('/').All(char.IsAsciiDigit) && text[(colon + 1)..].TrimEnd('/').Length > 0;
    }
}
