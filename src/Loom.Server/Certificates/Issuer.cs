using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Loom.Server.Certificates;

/// <summary>A certificate and its key, as PEM.</summary>
internal sealed record IssuedPair(string Certificate, string Key);

/// <summary>What a certificate may be used for.</summary>
[Flags]
internal enum CertificateUse
{
    None = 0,
    Server = 1,
    Client = 2,
}

/// <summary>Makes certificates: a CA, what it signs, and pairs that signed themselves. ECDSA on P-256, as small and fast as TLS has them.</summary>
internal sealed class Issuer : IDisposable
{
    // Clocks differ: a certificate that begins now is not valid yet on a machine that is a minute behind.
    private static readonly TimeSpan Earlier = TimeSpan.FromHours(1);

    private readonly X509Certificate2 authority;
    private readonly TimeSpan validity;

    private Issuer(X509Certificate2 authority, string key, TimeSpan validity)
    {
        this.authority = authority;
        this.validity = validity;
        Pair = new IssuedPair(authority.ExportCertificatePem() + "\n", key);
    }

    /// <summary>The CA itself.</summary>
    public IssuedPair Pair { get; }

    /// <summary>A new CA.</summary>
    public static Issuer New(string name, TimeSpan validity)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        CertificateRequest request = Request(name, key);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(certificateAuthority: true, hasPathLengthConstraint: false, pathLengthConstraint: 0, critical: true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.KeyCertSign | X509KeyUsageFlags.CrlSign, critical: true));
        DateTimeOffset now = DateTimeOffset.UtcNow;
        return new Issuer(request.CreateSelfSigned(now - Earlier, now + validity), Pem(key), validity);
    }

    /// <summary>A pair that signed itself, for one member that nobody gave one.</summary>
    public static IssuedPair SelfSigned(string name, IEnumerable<string> hosts, TimeSpan validity)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        CertificateRequest request = Leaf(name, key, hosts, CertificateUse.Server | CertificateUse.Client);
        DateTimeOffset now = DateTimeOffset.UtcNow;
        using X509Certificate2 certificate = request.CreateSelfSigned(now - Earlier, now + validity);
        return new IssuedPair(certificate.ExportCertificatePem() + "\n", Pem(key));
    }

    /// <summary>A pair that this CA signed.</summary>
    public IssuedPair Issue(string name, IEnumerable<string> hosts, CertificateUse use, TimeSpan? validFor = null)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        CertificateRequest request = Leaf(name, key, hosts, use);
        request.CertificateExtensions.Add(X509AuthorityKeyIdentifierExtension.CreateFromCertificate(authority, includeKeyIdentifier: true, includeIssuerAndSerial: false));
        DateTimeOffset until = DateTimeOffset.UtcNow + (validFor ?? validity);
        DateTimeOffset from = new(authority.NotBefore);

        // A certificate outlives its CA by nothing, or .NET would not sign it.
        using X509Certificate2 certificate = request.Create(authority, from, until < authority.NotAfter ? until : new DateTimeOffset(authority.NotAfter), RandomNumberGenerator.GetBytes(16));
        return new IssuedPair(certificate.ExportCertificatePem() + "\n", Pem(key));
    }

    public void Dispose() => authority.Dispose();

    private static CertificateRequest Leaf(string name, ECDsa key, IEnumerable<string> hosts, CertificateUse use)
    {
        CertificateRequest request = Request(name, key);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(certificateAuthority: false, hasPathLengthConstraint: false, pathLengthConstraint: 0, critical: true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.DigitalSignature, critical: true));
        var uses = new OidCollection();
        if (use.HasFlag(CertificateUse.Server))
        {
            uses.Add(new Oid("1.3.6.1.5.5.7.3.1"));
        }

        if (use.HasFlag(CertificateUse.Client))
        {
            uses.Add(new Oid("1.3.6.1.5.5.7.3.2"));
        }

        request.CertificateExtensions.Add(new X509EnhancedKeyUsageExtension(uses, critical: false));
        var names = new SubjectAlternativeNameBuilder();
        bool any = false;
        foreach (string host in hosts.Distinct(StringComparer.OrdinalIgnoreCase))
        {
            any = true;
            if (IPAddress.TryParse(host, out IPAddress? address))
            {
                names.AddIpAddress(address);
            }
            else
            {
                names.AddDnsName(host);
            }
        }

        if (any)
        {
            request.CertificateExtensions.Add(names.Build());
        }

        return request;
    }

    private static CertificateRequest Request(string name, ECDsa key)
    {
        var subject = new X500DistinguishedNameBuilder();
        subject.AddOrganizationName("Loom");
        subject.AddCommonName(name);
        var request = new CertificateRequest(subject.Build(), key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509SubjectKeyIdentifierExtension(request.PublicKey, critical: false));
        return request;
    }

    private static string Pem(ECDsa key) => key.ExportPkcs8PrivateKeyPem() + "\n";
}
