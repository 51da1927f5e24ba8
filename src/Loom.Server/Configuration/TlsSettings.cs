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

    /// <summary>Null: no URL is https.</summary>
    /// <param name="listening">What is listened at, checked.</param>
    /// <param name="dataDirectory">Where pairs of --auto-tls lie.</param>
    public TlsOptions? Of(IReadOnlyList<string> listening, string dataDirectory)
    {
        string certificate = sources.Text(Name("cert-file"));
        string key = sources.Text(Name("key-file"));
        RequireBoth(certificate, key);
        string[] secure = [.. listening.Where(IsSecure)];
        bool given = certificate.Length > 0;
        bool auto = IsAuto;
        if (sources.IsOn(Name("auto-tls")) && given)
        {
            sources.Warn($"--{Name("auto-tls")} is ignored, since --{Name("cert-file")} and --{Name("key-file")} are given");
        }

        WarnOfCleartext([.. listening.Except(secure)], given);
        if (secure.Length == 0)
        {
            return null;
        }

        if (!given && !auto)
        {
            throw new ConfigurationException(
                $"--{Name("cert-file")} and --{Name("key-file")} must be given for {secure[0]}, which is https", $"name the two files, or write http://; for a try: --{Name("auto-tls")}, or loom certs dev");
        }

        TlsOptions options = auto ? AutoCertificates.Paths(dataDirectory, port) : new TlsOptions { CertificateFile = certificate, KeyFile = key };
        options.TrustedCaFile = sources.IsGiven(Name("trusted-ca-file")) ? sources.Text(Name("trusted-ca-file")) : null;
        options.ClientCertificateRequired = sources.IsOn(Name("client-cert-auth"));
        options.AllowedHostNames = Words(Name("cert-allowed-hostname"));
        options.Protocols = Protocols();
        options.CipherSuites = CipherSuites(options.Protocols);
        return options;
    }

    /// <summary>Whether the pair is to be made where there is none.</summary>
    public bool IsAuto => sources.IsOn(Name("auto-tls")) && !sources.IsGiven(Name("cert-file"));

    private static bool IsSecure(string url) => url.StartsWith("https:", StringComparison.Ordinal);

    private string Name(string name) => name == "cert-allowed-hostname" && prefix.Length == 0 ? "client-cert-allowed-hostname" : prefix + name;

    private void RequireBoth(string certificate, string key)
    {
        if (certificate.Length > 0 == key.Length > 0)
        {
            return;
        }

        (string present, string missing) = certificate.Length > 0 ? ("cert-file", "key-file") : ("key-file", "cert-file");
        throw new ConfigurationException($"--{Name(present)} is given without --{Name(missing)}{sources.Origin(Name(present))}", "name both: the certificate and its private key");
    }

    private void WarnOfCleartext(string[] open, bool given)
    {
        foreach (string url in open)
        {
            if (given)
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
