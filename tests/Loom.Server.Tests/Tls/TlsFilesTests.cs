using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Loom.Raft;
using Loom.Raft.Transport;
using Loom.Server.Certificates;

namespace Loom.Server.Tests.Tls;

/// <summary>Goal: what is in the files is what is shown, a renewal is seen within a second, and a bad file is told by name and changes nothing.</summary>
[TestFixture]
internal sealed class TlsFilesTests
{
    [Test]
    public void A_renewed_pair_counts_a_second_later_and_is_logged()
    {
        using var folder = new CertificateFolder();
        TlsFiles files = folder.Files(mutual: true);
        string before = files.Current.Leaf.Thumbprint;
        folder.Write("server", folder.Issuer.Issue("renewed", ["127.0.0.1"], CertificateUse.Server));
        Assert.That(files.Current.Leaf.Thumbprint, Is.EqualTo(before), "at most one look a second");
        folder.AMomentLater();
        Assert.That(files.Current.Leaf.Subject, Does.Contain("CN=renewed"));
        Assert.That(folder.Log.Lines, Has.One.Contains("was renewed").And.One.Contains("CN=renewed"));
    }

    [Test]
    public void A_half_renewed_pair_keeps_the_one_before_and_is_logged_once()
    {
        using var folder = new CertificateFolder();
        TlsFiles files = folder.Files(mutual: false);
        string before = files.Current.Leaf.Thumbprint;
        IssuedPair next = folder.Issuer.Issue("renewed", ["127.0.0.1"], CertificateUse.Server);
        File.WriteAllText(folder["server.crt"], next.Certificate);
        for (int i = 0; i < 3; i++)
        {
            folder.AMomentLater();
            Assert.That(files.Current.Leaf.Thumbprint, Is.EqualTo(before));
        }

        Assert.That(folder.Log.Lines, Has.Length.EqualTo(1).And.All.Contains("does not belong to the certificate"));
        File.WriteAllText(folder["server.key"], next.Key[..40]);
        folder.AMomentLater();
        Assert.That(files.Current.Leaf.Thumbprint, Is.EqualTo(before));
        File.Delete(folder["server.key"]);
        folder.AMomentLater();
        Assert.That(files.Current.Leaf.Thumbprint, Is.EqualTo(before));
        Assert.That(folder.Log.Lines, Has.One.Contains("does not exist"));
        File.WriteAllText(folder["server.key"], next.Key);
        folder.AMomentLater();
        Assert.That(files.Current.Leaf.Subject, Does.Contain("CN=renewed"));
    }

    [Test]
    public void A_renewed_ca_counts_as_well()
    {
        using var folder = new CertificateFolder();
        TlsFiles files = folder.Files(mutual: true);
        using Issuer other = Issuer.New("other CA", TimeSpan.FromDays(1));
        File.AppendAllText(folder["ca.crt"], other.Pair.Certificate);
        folder.AMomentLater();
        Assert.That(files.Current.Authorities, Has.Count.EqualTo(2));
    }

    [TestCase("", "key", "holds no certificate")]
    [TestCase("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "key", "is damaged")]
    [TestCase("certificate", "", "holds no private key")]
    [TestCase("certificate", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n", "has a passphrase")]
    [TestCase("certificate", "other", "does not belong to the certificate")]
    [TestCase("certificate", null, "does not exist")]
    public void A_file_that_cannot_be_used_is_named(string certificate, string? key, string problem)
    {
        using var folder = new CertificateFolder();
        File.WriteAllText(folder["bad.crt"], certificate == "certificate" ? File.ReadAllText(folder["server.crt"]) : certificate);
        if (key is not null)
        {
            File.WriteAllText(folder["bad.key"], key is "key" ? File.ReadAllText(folder["server.key"]) : key is "other" ? File.ReadAllText(folder["client.key"]) : key);
        }

        var options = new TlsOptions { CertificateFile = folder["bad.crt"], KeyFile = folder["bad.key"] };
        Assert.That(() => new TlsFiles(options, () => 0, folder.Log), Throws.TypeOf<TlsFileException>().With.Message.Contains(problem).And.Message.Contains("bad."));
    }

    [Test]
    public void A_ca_file_without_a_root_is_refused()
    {
        using var folder = new CertificateFolder();
        var options = new TlsOptions { CertificateFile = folder["server.crt"], KeyFile = folder["server.key"], TrustedCaFile = folder["client.crt"] };
        Assert.That(() => new TlsFiles(options, () => 0, folder.Log), Throws.TypeOf<TlsFileException>().With.Message.Contains("no root certificate"));
    }

    /// <summary>What openssl genrsa and openssl ecparam write.</summary>
    [Test]
    public void Keys_in_their_older_forms_are_read()
    {
        using var folder = new CertificateFolder();
        using var rsa = RSA.Create(2048);
        var request = new CertificateRequest("CN=old", rsa, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1);
        using X509Certificate2 certificate = request.CreateSelfSigned(DateTimeOffset.UtcNow, DateTimeOffset.UtcNow.AddDays(1));
        folder.Write("server", new IssuedPair(certificate.ExportCertificatePem(), rsa.ExportRSAPrivateKeyPem()));
        Assert.That(folder.Files(mutual: false).Current.Leaf.Subject, Is.EqualTo("CN=old"));
        using var elliptic = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        using X509Certificate2 second = new CertificateRequest("CN=ec", elliptic, HashAlgorithmName.SHA256).CreateSelfSigned(DateTimeOffset.UtcNow, DateTimeOffset.UtcNow.AddDays(1));
        folder.Write("server", new IssuedPair(second.ExportCertificatePem(), "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n" + elliptic.ExportECPrivateKeyPem()));
        Assert.That(folder.Files(mutual: false).Current.Leaf.Subject, Is.EqualTo("CN=ec"));
    }
}
