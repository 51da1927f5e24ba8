using Microsoft.Extensions.Logging;

namespace Loom.Raft.Transport;

/// <summary>What every part of the transport shares.</summary>
internal sealed record TransportContext(LaneSettings Settings, IPeerGate Gate, IPeerEvents Events, Func<long> Now, ILogger Log)
{
    /// <summary>Small stacks: the threads run shallow loops and there are four per peer.</summary>
    private const int StackBytes = 256 * 1024;

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
