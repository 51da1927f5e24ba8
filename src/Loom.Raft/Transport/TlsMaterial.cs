using System.Net.Security;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Loom.Raft.Transport;

/// <summary>Certificate, key or CA file that cannot be used. The message says what is wrong, <see cref="Fix"/> what to do.</summary>
internal sealed class TlsFileException(string message, string fix) : Exception(message)
{
    public string Fix { get; } = fix;
}

/// <summary>What the files of a <see cref="TlsOptions"/> held when they were read: the certificate with its key and intermediates, and whom it trusts. Never changes.</summary>
internal sealed class TlsMaterial
{
    private TlsMaterial(SslStreamCertificateContext certificate, X509Certificate2Collection? authorities)
    {
        Certificate = certificate;
        Authorities = authorities;
    }

    public SslStreamCertificateContext Certificate { get; }

    public X509Certificate2 Leaf => Certificate.TargetCertificate;

    /// <summary>Null: those of the machine.</summary>
    public X509Certificate2Collection? Authorities { get; }

    /// <param name="names">Only the names are taken from here, for messages.</param>
    /// <param name="certificate">PEM.</param>
    /// <param name="key">PEM.</param>
    /// <param name="authorities">PEM; null: none named.</param>
    /// <exception cref="TlsFileException">One cannot be used.</exception>
    public static TlsMaterial Of(TlsOptions names, string certificate, string key, string? authorities)
    {
        X509Certificate2Collection chain = Certificates(names.CertificateFile, certificate);
        RequireClearKey(names.KeyFile, key);
        X509Certificate2 leaf;
        try
        {
            leaf = X509Certificate2.CreateFromPem(certificate, key);
        }
        catch (Exception e) when (e is CryptographicException or ArgumentException)
        {
            throw new TlsFileException(
                $"the key in {names.KeyFile} does not belong to the certificate in {names.CertificateFile} ({chain[0].Subject}), or is damaged", "name the two files that were made together");
        }
        chain.RemoveAt(0);
        try
        {
            return new TlsMaterial(SslStreamCertificateContext.Create(leaf, chain, offline: true), authorities is null ? null : Roots(names.TrustedCaFile!, authorities));
        }
        catch (CryptographicException e)
        {
            throw new TlsFileException($"the certificate in {names.CertificateFile} cannot be used: {e.Message}", "make it anew");
        }
    }

    /// <summary>The certificates of a PEM file; at least one.</summary>
    public static X509Certificate2Collection Certificates(string path, string pem)
    {
        var found = new X509Certificate2Collection();
        try
        {
            found.ImportFromPem(pem);
        }
        catch (CryptographicException e)
        {
            throw new TlsFileException($"the certificate in {path} is damaged: {e.Message}", "copy the file anew");
        }
        return found.Count > 0 ? found : throw new TlsFileException($"{path} holds no certificate", "name a PEM file that begins with -----BEGIN CERTIFICATE-----");
    }

    /// <summary>What a CA file trusts. A chain must end in a root: a file with an intermediate alone would trust nobody, and each handshake would fail with a text about chains.</summary>
    public static X509Certificate2Collection Roots(string path, string pem)
    {
        X509Certificate2Collection found = Certificates(path, pem);
        return found.Any(c => c.SubjectName.RawData.AsSpan().SequenceEqual(c.IssuerName.RawData))
            ? found
            : throw new TlsFileException($"{path} holds no root certificate, only intermediates", "append the certificate of the root CA to it");
    }

    private static void RequireClearKey(string path, string pem)
    {
        if (pem.Contains("ENCRYPTED", StringComparison.Ordinal))
        {
            throw new TlsFileException($"the private key in {path} has a passphrase, and nobody is there to type it", $"store it without one (openssl pkey -in {path} -out ...), readable for this user only");
        }
        if (!pem.Contains("PRIVATE KEY-----", StringComparison.Ordinal))
        {
            throw new TlsFileException($"{path} holds no private key", "name a PEM file with -----BEGIN PRIVATE KEY-----");
        }
    }
}
