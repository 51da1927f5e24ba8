using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using Loom.Raft;
using Loom.Raft.Transport;

namespace Loom.Server.Cli;

/// <summary>
/// TLS of the command line as a client, with etcdctl's options. Any of them makes "host:port" mean https, as etcdctl reads it; without any, a https endpoint is checked against the machine's CAs.
/// </summary>
internal sealed class ClientTls
{
    private readonly X509Certificate2Collection? authorities;
    private readonly SslStreamCertificateContext? certificate;
    private readonly TlsOptions options;

    private ClientTls(X509Certificate2Collection? authorities, SslStreamCertificateContext? certificate, TlsOptions options, bool isAsked)
    {
        this.authorities = authorities;
        this.certificate = certificate;
        this.options = options;
        IsAsked = isAsked;
    }

    /// <summary>Nothing was given.</summary>
    public static ClientTls Default { get; } = new(null, null, new TlsOptions(), isAsked: false);

    /// <summary>An endpoint without a scheme is https.</summary>
    public bool IsAsked { get; }

    /// <param name="cacert">Empty: the machine's.</param>
    /// <param name="cert">Empty: none is shown.</param>
    /// <param name="key">Its key.</param>
    /// <param name="skipVerify">Take any certificate.</param>
    /// <exception cref="CommandException">A file cannot be used.</exception>
    public static ClientTls Of(string cacert, string cert, string key, bool skipVerify)
    {
        if (cert.Length > 0 != key.Length > 0)
        {
            throw new CommandException(ExitCode.Usage, cert.Length > 0 ? "--cert is given without --key" : "--key is given without --cert", "name both: the certificate and its private key");
        }

        try
        {
            var options = new TlsOptions { CertificateFile = cert, KeyFile = key, TrustedCaFile = cacert.Length > 0 ? cacert : null, TrustAnyCertificate = skipVerify };
            return new ClientTls(
                cacert.Length > 0 ? TlsMaterial.Roots(cacert, TlsFiles.Text(cacert)) : null,
                cert.Length > 0 ? TlsMaterial.Of(options, TlsFiles.Text(cert), TlsFiles.Text(key), null).Certificate : null, options,
                isAsked: cacert.Length > 0 || cert.Length > 0 || skipVerify);
        }
        catch (TlsFileException exception)
        {
            throw new CommandException(ExitCode.Usage, exception.Message, exception.Fix);
        }
    }

    /// <summary>For one channel.</summary>
    public SslClientAuthenticationOptions Options(string host) => new()
    {
        ClientCertificateContext = certificate,
        CertificateChainPolicy = TlsFiles.ChainPolicy(authorities),
        RemoteCertificateValidationCallback = (_, shown, _, errors) =>
        {
            var check = new TlsCheck();
            return check.Dialled(options, authorities, host, shown as X509Certificate2, errors) ? true : throw new AuthenticationException(check.Refusal);
        },
    };
}
