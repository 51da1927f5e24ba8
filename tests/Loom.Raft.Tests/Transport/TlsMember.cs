using Loom.Raft.Consensus;
using Loom.Raft.Host;
using Loom.Raft.Transport;
using Loom.Server.Certificates;
using Microsoft.Extensions.Logging;

namespace Loom.Raft.Tests.Transport;

/// <summary>A transport with a certificate in files, its own log, and one peer.</summary>
internal sealed class TlsMember : IDisposable
{
    private readonly string directory;
    private readonly int port;
    private long clock;

    /// <param name="self">Its id.</param>
    /// <param name="port">Where it listens.</param>
    /// <param name="issuer">Signs its certificate; null: it has none and speaks cleartext.</param>
    public TlsMember(MemberId self, int port, Issuer? issuer)
    {
        Id = self;
        this.port = port;
        directory = Directory.CreateTempSubdirectory("loom-peer-tls-").FullName;
        if (issuer is null) return;
        Options = new TlsOptions { CertificateFile = this["peer.crt"], KeyFile = this["peer.key"], TrustedCaFile = this["ca.crt"], ClientCertificateRequired = true };
        File.WriteAllText(this["ca.crt"], issuer.Pair.Certificate);
        Renew(issuer.Issue($"m{self}", ["127.0.0.1"], CertificateUse.Server | CertificateUse.Client));
    }

    public string this[string file] => Path.Combine(directory, file);

    public MemberId Id { get; }

    public TlsOptions? Options { get; }

    public LaneEvents Events { get; } = new();

    public LogLines Log { get; } = new();

    public PeerTransport Transport { get; private set; } = null!;

    public string Url => $"{(Options is null ? "http" : "https")}://127.0.0.1:{port}";

    public void Renew(IssuedPair pair)
    {
        File.WriteAllText(this["peer.crt"], pair.Certificate);
        File.WriteAllText(this["peer.key"], pair.Key);
        AMomentLater();
    }

    /// <summary>The next handshake looks at the files.</summary>
    public void AMomentLater() => Interlocked.Add(ref clock, 1_000_000_000);

    /// <param name="other">Its peer.</param>
    /// <param name="url">How this one knows it; null: as it is.</param>
    /// <param name="settings">Times and bounds.</param>
    /// <param name="name">What it calls itself; null: as it is.</param>
    public TlsMember Start(TlsMember other, string? url = null, LaneSettings? settings = null, string? name = null)
    {
        TlsFiles? files = Options is null ? null : new TlsFiles(Options, () => Interlocked.Read(ref clock), Log);
        var context = new Raft.Transport.TransportContext(settings ?? new LaneSettings(), new OpenGate(Id, name, Url) { Configured = ($"m{other.Id}", url ?? other.Url) }, Events, static () => MonotonicClock.Nanoseconds, Log, files);
        Transport = new PeerTransport(Id, [new PeerTarget(other.Id, $"m{other.Id}", "dc", [url ?? other.Url])], [Url], new Dictionary<string, TimeSpan>(), Id.Value, context);
        Transport.Start();
        return this;
    }

    public bool IsUp(TlsMember other) => Transport.IsUp(other.Id, LaneKind.Control) && Transport.IsUp(other.Id, LaneKind.Forward);

    public void Dispose()
    {
        Transport?.Dispose();
        Directory.Delete(directory, recursive: true);
    }
}

/// <summary>Keeps what is logged.</summary>
internal sealed class LogLines : ILogger
{
    private readonly List<string> lines = [];

    public string[] Lines
    {
        get
        {
            lock (lines) return [.. lines];
        }
    }

    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => true;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
    {
        lock (lines) lines.Add($"{logLevel}: {formatter(state, exception)}");
    }
}
