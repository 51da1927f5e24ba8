using Loom.Raft.Log;
using Loom.Raft.Transport;
using Microsoft.Extensions.Logging;

namespace Loom.Raft.Host;

/// <summary>What a host is opened with: the options, copied and checked, and what tests put in the place of the machine (files, clock, seed).</summary>
internal sealed record HostSettings
{
    public required RaftNodeOptions Options { get; init; }

    public required ulong Seed { get; init; }

    public required ILogger Log { get; init; }

    public IFileSystem Files { get; init; } = PosixFileSystem.Instance;

    public Func<string, IDisposable> AcquireDirectory { get; init; } = DirectoryLock.Acquire;

    public Func<long> Now { get; init; } = static () => MonotonicClock.Nanoseconds;

    /// <summary>Of https peer URLs; null: this member has no certificate for members.</summary>
    public TlsFiles? Tls { get; init; }

    public required LaneSettings Lanes { get; init; }

    /// <summary>How long whoever had a name before must be unheard until another directory takes its place (E1).</summary>
    public TimeSpan Silence { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>How long a damaged directory waits for a quorum of the others before the member refuses to start. Whoever supervises it starts it again.</summary>
    public TimeSpan SeekLimit { get; init; } = TimeSpan.FromSeconds(30);
}
