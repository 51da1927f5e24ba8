using System.Net.Security;
using System.Security.Cryptography.X509Certificates;

namespace Loom.Raft.Transport;

/// <summary>Whether the other side's certificate is taken, in one handshake; keeps the reason of a refusal, which SslStream's exceptions lack, and the certificate.</summary>
internal sealed class TlsCheck
{
    /// <summary>Why it was refused; null: it was not, or the handshake did not come so far.</summary>
    public string? Refusal { get; private set; }

    /// <summary>What the other side showed and was taken for; null: nothing.</summary>
    public X509Certificate2? Certificate { get; private set; }

    /// <summary>Whether a port with these options refuses a caller without a certificate.</summary>
    public static bool AsksForCertificate(TlsOptions options) => !options.TrustAnyCertificate
        && (options.ClientCertificateRequired || options.TrustedCaFile is not null || options.AllowedCommonNames.Count > 0 || options.AllowedHostNames.Count > 0);

    /// <summary>Of a caller: asked for and trusted. Its host names say nothing here; whose they must be is the port's business.</summary>
    public bool Caller(TlsOptions options, X509Certificate2Collection? authorities, X509Certificate2? certificate, SslPolicyErrors errors) =>
        !AsksForCertificate(options) || Judge(options, authorities, certificate, errors & ~SslPolicyErrors.RemoteCertificateNameMismatch, "", "it shows no certificate, and this port asks for one");

    /// <summary>Of whom we dialled: trusted, and good for the name that was dialled.</summary>
    public bool Dialled(TlsOptions options, X509Certificate2Collection? authorities, string host, X509Certificate2? certificate, SslPolicyErrors errors) =>
        options.TrustAnyCertificate || Judge(options, authorities, certificate, errors, host, "it shows no certificate");

    private bool Judge(TlsOptions options, X509Certificate2Collection? authorities, X509Certificate2? certificate, SslPolicyErrors errors, string host, string missing)
    {
        Refusal = certificate is null || errors.HasFlag(SslPolicyErrors.RemoteCertificateNotAvailable) ? missing
            : errors.HasFlag(SslPolicyErrors.RemoteCertificateNameMismatch) ? $"its certificate ({certificate.Subject}) is not good for the host {host}: give it a certificate whose subject alternative names hold that"
            : errors != SslPolicyErrors.None ? $"its certificate ({certificate.Subject}, issued by {certificate.Issuer}, valid until {certificate.NotAfter.ToUniversalTime():u}) is not trusted: {Chain(options, authorities, certificate)}"
            : Names(options, certificate);
        if (Refusal is null) Certificate = certificate;
        return Refusal is null;
    }

    private static string? Names(TlsOptions options, X509Certificate2 certificate)
    {
        if (options.AllowedCommonNames.Count > 0 && !options.AllowedCommonNames.Contains(CommonName(certificate), StringComparer.Ordinal))
        {
            return $"its certificate ({certificate.Subject}) has not the common name {string.Join(" or ", options.AllowedCommonNames)}, which is asked for";
        }
        return options.AllowedHostNames.Count > 0 && !options.AllowedHostNames.Any(host => certificate.MatchesHostname(host, allowCommonName: false))
            ? $"its certificate ({certificate.Subject}) is not good for {string.Join(" or ", options.AllowedHostNames)}, which is asked for"
            : null;
    }

    private static string? CommonName(X509Certificate2 certificate) => certificate.SubjectName.EnumerateRelativeDistinguishedNames()
        .Where(part => !part.HasMultipleElements && part.GetSingleElementType().Value == "2.5.4.3").Select(part => part.GetSingleElementValue()).FirstOrDefault();

    /// <summary>The chain's own words. SslStream's chain is not ours to keep, and this is no hot path.</summary>
    private static string Chain(TlsOptions options, X509Certificate2Collection? authorities, X509Certificate2 certificate)
    {
        using var chain = new X509Chain();
        chain.ChainPolicy = TlsFiles.ChainPolicy(authorities);
        if (chain.Build(certificate)) return "it was not made for this end of a connection (extended key usage)";
        string where = options.TrustedCaFile is null ? "the machine's CAs" : $"the CA in {options.TrustedCaFile}";
        return chain.ChainStatus.Any(s => s.Status is X509ChainStatusFlags.UntrustedRoot or X509ChainStatusFlags.PartialChain)
            ? $"it does not come from {where}"
            : string.Join(", ", chain.ChainStatus.Select(s => s.StatusInformation.TrimEnd('.', ' ', '\n')));
    }
}
