using Loom.Raft;
using Loom.Raft.Transport;
using Loom.Server.Certificates;
using Loom.Server.Hosting;
using Microsoft.Extensions.Logging;

namespace Loom.Server.Tests.Tls;

/// <summary>A CA and the pairs of a test, in files. Its clock stands unless a test moves it.</summary>
internal sealed class CertificateFolder : IDisposable
{
    private readonly Issuer issuer = Issuer.New("test CA", TimeSpan.FromDays(2));
    private readonly string directory = Directory.CreateTempSubdirectory("loom-tls-").FullName;
    private long now;

    public CertificateFolder()
    {
        PairFiles.Write(issuer.Pair, this["ca.crt"], this["ca.key"]);
        Write("server", issuer.Issue("server", ["127.0.0.1", "localhost"], CertificateUse.Server));
        Write("client", issuer.Issue("client", [], CertificateUse.Client));
    }

    public string this[string file] => Path.Combine(directory, file);

    public Issuer Issuer => issuer;

    public LinesLogger Log { get; } = new();

    /// <summary>Replaces a pair, as a renewal does.</summary>
    public void Write(string name, IssuedPair pair)
    {
        File.Delete(this[name + ".crt"]);
        File.Delete(this[name + ".key"]);
        PairFiles.Write(pair, this[name + ".crt"], this[name + ".key"]);
    }

    /// <summary>The next handshake looks at the files.</summary>
    public void AMomentLater() => Interlocked.Add(ref now, 1_000_000_000);

    public TlsPort Port(bool mutual) => new(Files(mutual), Log);

    public TlsFiles Files(bool mutual) => new(
        new TlsOptions { CertificateFile = this["server.crt"], KeyFile = this["server.key"], TrustedCaFile = mutual ? this["ca.crt"] : null }, () => Interlocked.Read(ref now), Log);

    public void Dispose()
    {
        issuer.Dispose();
        Directory.Delete(directory, recursive: true);
    }
}

/// <summary>Keeps what is logged.</summary>
internal sealed class LinesLogger : ILogger
{
    private readonly List<string> lines = [];

    public string[] Lines
    {
        get
        {
            lock (lines)
            {
                return [.. lines];
            }
        }
    }

    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => true;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
    {
        lock (lines)
        {
            lines.Add($"{logLevel}: {formatter(state, exception)}");
        }
    }
}
