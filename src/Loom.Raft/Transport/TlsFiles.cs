using System.Net.Security;
using System.Security.Cryptography.X509Certificates;
// Loom.Server compiles this file, too, and has the namespace already.
#pragma warning disable IDE0005
using Microsoft.Extensions.Logging;
#pragma warning restore IDE0005

namespace Loom.Raft.Transport;

/// <summary>
/// The files of one port's TLS, read again when they have changed: a handshake looks, at most once a second. A pair that cannot be used (half written, only one of the two renewed) changes nothing:
/// the one before stays, and what is wrong is logged once.
/// </summary>
/// <remarks>The contents are compared, not the times: a renewal within the clock's grain, or by swapping a link as Kubernetes does, is seen as well, and the files are small.</remarks>
internal sealed class TlsFiles
{
    private const long LookInterval = 1_000_000_000;

    // A certificate with all its intermediates is some KB, the system's whole CA bundle some hundred.
    private const long MaxFileBytes = 4 * 1024 * 1024;

    // Twenty seconds of a renewal with each half logged are enough: the texts kept are few.
    private const int KeptComplaints = 4;

    private readonly Func<long> now;
    private readonly ILogger log;
    private readonly object gate = new();
    private readonly Queue<string> complaints = new();
    private (string Certificate, string Key, string? Authorities) read;
    private volatile TlsMaterial current;
    private long looked;

    /// <summary>Reads the files.</summary>
    /// <param name="options">Copied by the caller.</param>
    /// <param name="now">Monotonic ns.</param>
    /// <param name="log">Where renewals and their troubles are told.</param>
    /// <exception cref="TlsFileException">One cannot be used.</exception>
    public TlsFiles(TlsOptions options, Func<long> now, ILogger log)
    {
        Options = options;
        this.now = now;
        this.log = log;
        read = Read();
        current = TlsMaterial.Of(options, read.Certificate, read.Key, read.Authorities);
        looked = now();
    }

    public TlsOptions Options { get; }

    /// <summary>What counts now. Never waits for another thread that is looking.</summary>
    public TlsMaterial Current
    {
        get
        {
            if (now() - Volatile.Read(ref looked) >= LookInterval && Monitor.TryEnter(gate))
            {
                try
                {
                    Look();
                }
                finally
                {
                    Volatile.Write(ref looked, now());
                    Monitor.Exit(gate);
                }
            }
            return current;
        }
    }

    /// <summary>For one handshake of the accepting side.</summary>
    public SslServerAuthenticationOptions ForServer(TlsCheck check)
    {
        TlsMaterial material = Current;
        return new SslServerAuthenticationOptions
        {
            ServerCertificateContext = material.Certificate,
            ClientCertificateRequired = TlsCheck.AsksForCertificate(Options),
            EnabledSslProtocols = Options.Protocols,
            CipherSuitesPolicy = Suites(),
            CertificateChainPolicy = ChainPolicy(material.Authorities),
            // A resumed session would stand on the certificates and the CA of the day it began.
            AllowTlsResume = !TlsCheck.AsksForCertificate(Options),
            AllowRenegotiation = false,
            RemoteCertificateValidationCallback = (_, certificate, _, errors) => check.Caller(Options, material.Authorities, certificate as X509Certificate2, errors),
        };
    }

    /// <summary>For one handshake of the dialling side: <paramref name="host"/> is the name or address that was dialled.</summary>
    public SslClientAuthenticationOptions ForClient(string host, TlsCheck check)
    {
        TlsMaterial material = Current;
        return new SslClientAuthenticationOptions
        {
            TargetHost = host,
            ClientCertificateContext = material.Certificate,
            EnabledSslProtocols = Options.Protocols,
            CipherSuitesPolicy = Suites(),
            CertificateChainPolicy = ChainPolicy(material.Authorities),
            AllowTlsResume = false,
            AllowRenegotiation = false,
            RemoteCertificateValidationCallback = (_, certificate, _, errors) => check.Dialled(Options, material.Authorities, host, certificate as X509Certificate2, errors),
        };
    }

    /// <summary>A new one for each handshake: SslStream adds to it.</summary>
    public static X509ChainPolicy ChainPolicy(X509Certificate2Collection? authorities)
    {
        var policy = new X509ChainPolicy { RevocationMode = X509RevocationMode.NoCheck, DisableCertificateDownloads = true };
        if (authorities is null) return policy;
        policy.TrustMode = X509ChainTrustMode.CustomRootTrust;
        policy.CustomTrustStore.AddRange(authorities);
        return policy;
    }

    private CipherSuitesPolicy? Suites()
    {
        if (Options.CipherSuites.Count == 0) return null;
        TlsCipherSuite[] always = [TlsCipherSuite.TLS_AES_128_GCM_SHA256, TlsCipherSuite.TLS_AES_256_GCM_SHA384, TlsCipherSuite.TLS_CHACHA20_POLY1305_SHA256];
        // CA1416: the one system that cannot is Windows, and a list that cannot be honoured must not be ignored: it throws there.
#pragma warning disable CA1416
        return new CipherSuitesPolicy([.. Options.CipherSuites, .. always]);
#pragma warning restore CA1416
    }

    private void Look()
    {
        try
        {
            (string, string, string?) now = Read();
            if (now == read) return;
            (string certificate, string key, string? authorities) = now;
            string before = current.Leaf.Thumbprint;
            current = TlsMaterial.Of(Options, certificate, key, authorities);
            read = now;
            complaints.Clear();
            if (current.Leaf.Thumbprint == before) log.LogInformation("The CA in {File} was renewed: {Count} certificates", Options.TrustedCaFile, current.Authorities?.Count ?? 0);
            else log.LogInformation("The certificate in {File} was renewed: {Subject}, valid until {Until:u}", Options.CertificateFile, current.Leaf.Subject, current.Leaf.NotAfter.ToUniversalTime());
        }
        catch (TlsFileException e)
        {
            if (complaints.Contains(e.Message)) return;
            if (complaints.Count == KeptComplaints) _ = complaints.Dequeue();
            complaints.Enqueue(e.Message);
            log.LogWarning("The renewed certificate cannot be used, and the one before stays in use: {Problem}; {Fix}", e.Message, e.Fix);
        }
    }

    private (string, string, string?) Read() =>
        (Text(Options.CertificateFile), Text(Options.KeyFile), Options.TrustedCaFile is { } authorities ? Text(authorities) : null);

    /// <exception cref="TlsFileException">It cannot be read.</exception>
    public static string Text(string path)
    {
        try
        {
            return new FileInfo(path).Length <= MaxFileBytes
                ? File.ReadAllText(path)
                : throw new TlsFileException($"{path} has more than {MaxFileBytes} bytes, so it is no certificate or key", "name a PEM file");
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new TlsFileException($"{path} does not exist", "correct the path; paths are relative to the directory in which the process was started");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException)
        {
            throw new TlsFileException($"{path} cannot be read: {e.Message}", "let the user of this process read it");
        }
    }
}
