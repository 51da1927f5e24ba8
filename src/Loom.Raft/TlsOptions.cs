using System.Net.Security;
using System.Security.Authentication;

namespace Loom.Raft;

/// <summary>
/// TLS of one port: whom it shows itself as, and whom it lets in. The files are PEM; renewed ones are picked up without a restart, at the next connection and at most a second late. Connections that
/// exist keep the certificate they began with.
/// </summary>
public sealed class TlsOptions
{
    /// <summary>The certificate that is shown, then its intermediates. Required. For members it must be good for both ends of a connection (server and client authentication).</summary>
    public string CertificateFile { get; set; } = "";

    /// <summary>The private key of <see cref="CertificateFile"/>, without a passphrase. Required.</summary>
    public string KeyFile { get; set; } = "";

    /// <summary>The root certificates that the other side's certificate must come from; null: those of the machine. Naming it also asks callers for a certificate, as with etcd.</summary>
    public string? TrustedCaFile { get; set; }

    /// <summary>Callers must show a certificate. Default false: they need none, unless <see cref="TrustedCaFile"/> is named.</summary>
    public bool ClientCertificateRequired { get; set; }

    /// <summary>The common name of the other side's certificate must be one of these. Default empty: any.</summary>
    public IReadOnlyList<string> AllowedCommonNames { get; set; } = [];

    /// <summary>The other side's certificate must be valid for one of these host names. Default empty: any.</summary>
    public IReadOnlyList<string> AllowedHostNames { get; set; } = [];

    /// <summary>Default TLS 1.2 and 1.3.</summary>
    public SslProtocols Protocols { get; set; } = SslProtocols.Tls12 | SslProtocols.Tls13;

    /// <summary>The suites of TLS 1.2 that may be used; those of TLS 1.3 always may. Default empty: the system's choice.</summary>
    public IReadOnlyList<TlsCipherSuite> CipherSuites { get; set; } = [];

    /// <summary>
    /// Whatever certificate the other side shows is taken: the connection is encrypted, but not protected from someone who stands in between. For certificates that each member made for itself
    /// (<c>--peer-auto-tls</c>). Default false.
    /// </summary>
    public bool TrustAnyCertificate { get; set; }

    internal TlsOptions Copy() => new()
    {
        CertificateFile = CertificateFile,
        KeyFile = KeyFile,
        TrustedCaFile = string.IsNullOrEmpty(TrustedCaFile) ? null : TrustedCaFile,
        ClientCertificateRequired = ClientCertificateRequired,
        AllowedCommonNames = [.. AllowedCommonNames],
        AllowedHostNames = [.. AllowedHostNames],
        Protocols = Protocols,
        CipherSuites = [.. CipherSuites],
        TrustAnyCertificate = TrustAnyCertificate,
    };
}
