using System.Net.Security;
using System.Security.Authentication;
using Loom.Raft;
using Loom.Server.Certificates;

namespace Loom.Server.Configuration;

/// <summary>
/// etcd's flags for TLS, of clients or (with "peer-" before the names) of members. As in etcd the scheme of each URL decides whether it is served with TLS; a certificate without an https URL is left out
/// with a warning, an https URL without a certificate is an error.
/// </summary>
internal sealed class TlsSettings(SettingSources sources, string prefix, string port)
{
    public const string MinimumVersion = "tls-min-version";
    public const string MaximumVersion = "tls-max-version";
    public const string Suites = "cipher-suites";
    private const string Tls12 = "TLS1.2";
    private const string Tls13 = "TLS1.3";

    /// <summary>Of clients. Null: no URL is https.</summary>
    /// <param name="listening">What is listened at, checked.</param>
    /// <param name="dataDirectory">Where pairs of --auto-tls lie.</param>
    public TlsOptions? Of(IReadOnlyList<string> listening, string dataDirectory)
    {
        CheckPair();
        WarnOfCleartext(listening);
        return Required(listening) ? Options(dataDirectory) : null;
    }

    /// <summary>
    /// Of members, who listen and dial. A certificate that is given counts even where no URL here is https: a used directory knows the members better than the flags (N5).
    /// </summary>
    /// <param name="listening">What is listened at, checked.</param>
    /// <param name="members">Where all members are reached.</param>
    /// <param name="dataDirectory">Where pairs of --peer-auto-tls lie.</param>
    public TlsOptions? OfMembers(IReadOnlyList<string> listening, IReadOnlyList<string> members, string dataDirectory)
    {
        CheckPair();
        WarnOfCleartext(listening);
        return Required([.. listening, .. members]) || IsGiven || IsAuto ? Options(dataDirectory) : null;
    }

    /// <summary>Whether the pair is to be made where there is none.</summary>
    public bool IsAuto => sources.IsOn(Name("auto-tls")) && !sources.IsGiven(Name("cert-file"));

    private bool IsGiven => sources.IsGiven(Name("cert-file"));

    private static bool IsSecure(string url) => url.StartsWith("https:", StringComparison.Ordinal);

    private string Name(string name) => name == "cert-allowed-hostname" && prefix.Length == 0 ? "client-cert-allowed-hostname" : prefix + name;

    /// <summary>Whether one of the URLs needs a certificate; there must be one then.</summary>
    private bool Required(IReadOnlyList<string> urls) => urls.FirstOrDefault(IsSecure) is { } secure && (IsGiven || IsAuto
        ? true
        : throw new ConfigurationException(
            $"--{Name("cert-file")} and --{Name("key-file")} must be given for {secure}, which is https", $"name the two files, or write http://; for a try: --{Name("auto-tls")}, or loom certs dev"));

    private TlsOptions Options(string dataDirectory)
    {
        TlsOptions options = IsAuto
            ? AutoCertificates.Paths(dataDirectory, port)
            : new TlsOptions { CertificateFile = sources.Text(Name("cert-file")), KeyFile = sources.Text(Name("key-file")) };
        options.TrustedCaFile = sources.IsGiven(Name("trusted-ca-file")) ? sources.Text(Name("trusted-ca-file")) : null;
        options.ClientCertificateRequired = sources.IsOn(Name("client-cert-auth"));
        options.AllowedHostNames = Words(Name("cert-allowed-hostname"));
        options.AllowedCommonNames = prefix.Length > 0 ? Words(Name("cert-allowed-cn")) : [];
        options.Protocols = Protocols();
        options.CipherSuites = CipherSuites(options.Protocols);

        // Members that signed themselves cannot check each other; etcd's do not, either.
        options.TrustAnyCertificate = prefix.Length > 0 && IsAuto && options.TrustedCaFile is null;
        return options.AllowedHostNames.Count == 0 || options.AllowedCommonNames.Count == 0 ? options : throw new ConfigurationException(
            $"--{Name("cert-allowed-cn")} and --{Name("cert-allowed-hostname")} are both given", "give one of them");
    }

    private void CheckPair()
    {
        string certificate = sources.Text(Name("cert-file"));
        string key = sources.Text(Name("key-file"));
        if (sources.IsOn(Name("auto-tls")) && certificate.Length > 0)
        {
            sources.Warn($"--{Name("auto-tls")} is ignored, since --{Name("cert-file")} and --{Name("key-file")} are given");
        }

        if (certificate.Length > 0 == key.Length > 0)
        {
            return;
        }

        (string present, string missing) = certificate.Length > 0 ? ("cert-file", "key-file") : ("key-file", "cert-file");
        throw new ConfigurationException($"--{Name(present)} is given without --{Name(missing)}{sources.Origin(Name(present))}", "name both: the certificate and its private key");
    }

    private void WarnOfCleartext(IReadOnlyList<string> listening)
    {
        foreach (string url in listening.Where(url => !IsSecure(url)))
        {
            if (IsGiven)
            {
                sources.Warn($"{url} is http, so --{Name("cert-file")} and --{Name("key-file")} are not used for it");
            }

            if (sources.IsOn(Name("client-cert-auth")))
            {
                sources.Warn($"{url} is http, so --{Name("client-cert-auth")} is not in force for it: whoever reaches it needs no certificate");
            }
        }
    }

    private string[] Words(string name) => sources.Text(name).Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);

    private SslProtocols Protocols()
    {
        bool from13 = Version(MinimumVersion) == Tls13;
        bool to12 = Version(MaximumVersion) == Tls12;
        return (from13, to12) switch
        {
            (true, true) => throw new ConfigurationException($"--{MinimumVersion} is {Tls13} and --{MaximumVersion} is {Tls12}", "make the least version no higher than the highest"),
            (true, false) => SslProtocols.Tls13,
            (false, true) => SslProtocols.Tls12,
            _ => SslProtocols.Tls12 | SslProtocols.Tls13,
        };
    }

    private string Version(string name)
    {
        string text = sources.Text(name);
        return text is "" or Tls12 or Tls13 ? text : throw sources.Bad(name, text, $"{Tls12} or {Tls13}");
    }

    private TlsCipherSuite[] CipherSuites(SslProtocols protocols)
    {
        string[] names = Words(Suites);
        if (names.Length > 0 && protocols == SslProtocols.Tls13)
        {
            throw new ConfigurationException($"--{Suites} is given, and only TLS 1.3 may be spoken, whose suites are not chosen", $"leave --{Suites} out");
        }

        return [.. names.Select(name => Enum.TryParse(name, out TlsCipherSuite suite) && Enum.IsDefined(suite) && !char.IsAsciiDigit(name[0])
            ? suite
            : throw sources.Bad(Suites, name, "names of suites such as TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, with commas"))];
    }
}
