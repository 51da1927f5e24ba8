using Loom.Raft;
using Loom.Raft.Transport;
using Loom.Server.Certificates;
using Loom.Server.Configuration;

namespace Loom.Server.Hosting;

/// <summary>Opens the certificates of a node before its store: one that cannot be used must not leave a newly formed cluster behind.</summary>
internal static class NodeCertificates
{
    /// <summary>Of the client port; null: no address is https.</summary>
    /// <exception cref="ConfigurationException">A file cannot be used.</exception>
    public static TlsPort? OpenClients(ServeSettings settings, ILoggerFactory loggers, Action<string> say)
    {
        if (settings.ClientTls is not { } options)
        {
            return null;
        }

        if (settings.ClientAutoTls)
        {
            AutoCertificates.Ensure(options, settings.ListenClientUrls, settings.SelfSignedYears);
        }

        ILogger log = loggers.CreateLogger("Loom.Server.Tls");
        return new TlsPort(Open(options, log, say), log);
    }

    /// <summary>Of members: made where they are to be, looked at once; the store opens them itself.</summary>
    /// <exception cref="ConfigurationException">A file cannot be used.</exception>
    public static void CheckPeers(ServeSettings settings, ILoggerFactory loggers, Action<string> say)
    {
        if (settings.PeerTls is not { } options)
        {
            return;
        }

        if (settings.PeerAutoTls)
        {
            AutoCertificates.Ensure(options, settings.InitialCluster.FirstOrDefault(m => m.Name == settings.Name)?.PeerUrls ?? settings.ListenPeerUrls, settings.SelfSignedYears);
        }

        _ = Open(options, loggers.CreateLogger("Loom.Server.Tls"), say);
    }

    private static TlsFiles Open(TlsOptions options, ILogger log, Action<string> say)
    {
        try
        {
            var files = new TlsFiles(options, static () => Environment.TickCount64 * 1_000_000, log);
            if (files.Current.Leaf.NotAfter < DateTime.Now)
            {
                say($"warning: the certificate in {options.CertificateFile} expired at {files.Current.Leaf.NotAfter.ToUniversalTime():u}: whoever checks it refuses this member");
            }

            return files;
        }
        catch (TlsFileException exception)
        {
            throw new ConfigurationException(exception.Message, exception.Fix);
        }
    }
}
