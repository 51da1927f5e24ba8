using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Loom.Raft;
using Loom.Server.Configuration;

namespace Loom.Server.Certificates;

/// <summary>
/// <c>--auto-tls</c> and <c>--peer-auto-tls</c>: pairs that signed themselves, made in the data directory where none are, as etcd makes them (fixtures/client, fixtures/peer). They encrypt; they prove
/// nothing to who does not know the certificate.
/// </summary>
internal static class AutoCertificates
{
    public static TlsOptions Paths(string dataDirectory, string port)
    {
        string directory = Path.Combine(dataDirectory, "fixtures", port);
        return new TlsOptions { CertificateFile = Path.Combine(directory, "cert.pem"), KeyFile = Path.Combine(directory, "key.pem") };
    }

    /// <summary>Makes the pair unless it is there and still valid.</summary>
    /// <exception cref="ConfigurationException">It cannot be written.</exception>
    public static void Ensure(TlsOptions paths, IEnumerable<string> urls, int years)
    {
        try
        {
            if (IsValid(paths))
            {
                return;
            }

            Directory.CreateDirectory(Path.GetDirectoryName(paths.CertificateFile)!);
            File.Delete(paths.CertificateFile);
            File.Delete(paths.KeyFile);
            IEnumerable<string> hosts = urls.Select(url => new Uri(url).Host.Trim('[', ']'))
                .SelectMany(host => host is "0.0.0.0" or "::" ? (string[])["localhost", "127.0.0.1", "::1", Environment.MachineName] : [host]);
            PairFiles.Write(Issuer.SelfSigned(Environment.MachineName, hosts, TimeSpan.FromDays(365 * years)), paths.CertificateFile, paths.KeyFile);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new ConfigurationException($"the certificate of --auto-tls or --peer-auto-tls cannot be made: {exception.Message}", "let this user write --data-dir");
        }
    }

    /// <summary>One that has expired is of no use to anybody, and nobody else would renew it.</summary>
    private static bool IsValid(TlsOptions paths)
    {
        if (!File.Exists(paths.CertificateFile) || !File.Exists(paths.KeyFile))
        {
            return false;
        }

        try
        {
            using X509Certificate2 certificate = X509CertificateLoader.LoadCertificateFromFile(paths.CertificateFile);
            return certificate.NotAfter > DateTime.Now;
        }
        catch (CryptographicException)
        {
            return false;
        }
    }
}
