using Microsoft.Extensions.Logging;

namespace Loom.Raft.Transport;

/// <summary>What every part of the transport shares. Tls: of https peer URLs; null: this member has no certificate.</summary>
internal sealed record TransportContext(LaneSettings Settings, IPeerGate Gate, IPeerEvents Events, Func<long> Now, ILogger Log, TlsFiles? Tls = null)
{
    /// <summary>Small stacks: the threads run shallow loops and there are four per peer. A TLS handshake with its chain of certificates is the deepest that they do.</summary>
    private const int StackBytes = 1024 * 1024;

    /// <summary>A thread whose failure reaches the owner instead of ending the process.</summary>
    public Thread NewThread(string name, Action run) => new(() =>
    {
        try
        {
            run();
        }
        catch (Exception e)
        {
            Events.Failed(e);
        }
    }, StackBytes)
    {
        IsBackground = true,
        Name = name,
    };
}
