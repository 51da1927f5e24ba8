namespace Loom.Server.Certificates;

/// <summary>
/// Certificates for a try of three datacenters. Two CAs: one for clients and what they connect to, one for members among themselves. With one for both, whoever holds a client's certificate could
/// present himself as a member.
/// </summary>
internal static class DevelopmentCertificates
{
    public const string ClientCa = "ca.crt";
    public const string PeerCa = "peer-ca.crt";

    /// <summary>Name and datacenter, in the order of their ports.</summary>
    public static IReadOnlyList<(string Name, string Datacenter)> Members { get; } = [("east1", "east"), ("west1", "west"), ("south1", "south")];

    /// <summary>All or nothing: what is written gets its name when it is whole.</summary>
    /// <param name="directory">Must not exist, or be empty.</param>
    /// <param name="hosts">Beside localhost, 127.0.0.1 and ::1.</param>
    /// <param name="validity">Of all, from now.</param>
    /// <exception cref="IOException">It exists, or cannot be written.</exception>
    public static void Write(string directory, IReadOnlyList<string> hosts, TimeSpan validity)
    {
        string whole = Path.TrimEndingDirectorySeparator(Path.GetFullPath(directory));
        if (File.Exists(whole) || (Directory.Exists(whole) && Directory.EnumerateFileSystemEntries(whole).Any()))
        {
            throw new IOException($"{directory} exists already, and nothing in it is replaced");
        }

        string half = $"{whole}.{Path.GetRandomFileName()}";
        Directory.CreateDirectory(half);
        try
        {
            Fill(half, ["localhost", "127.0.0.1", "::1", .. hosts], validity);
            if (Directory.Exists(whole))
            {
                Directory.Delete(whole);
            }

            Directory.Move(half, whole);
        }
        catch
        {
            Directory.Delete(half, recursive: true);
            throw;
        }
    }

    private static void Fill(string directory, IReadOnlyList<string> hosts, TimeSpan validity)
    {
        using Issuer clients = Issuer.New("Loom development CA", validity);
        using Issuer peers = Issuer.New("Loom development CA of members", validity);
        Write(clients.Pair, Path.Combine(directory, "ca"));
        Write(peers.Pair, Path.Combine(directory, "peer-ca"));
        Write(clients.Issue("client", [], CertificateUse.Client), Path.Combine(directory, "client"));
        foreach ((string name, _) in Members)
        {
            string own = Path.Combine(directory, name);
            Directory.CreateDirectory(own);
            Write(clients.Issue(name, hosts, CertificateUse.Server), Path.Combine(own, "server"));
            Write(peers.Issue(name, hosts, CertificateUse.Server | CertificateUse.Client), Path.Combine(own, "peer"));
        }
    }

    private static void Write(IssuedPair pair, string path) => PairFiles.Write(pair, path + ".crt", path + ".key");
}
