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

    public required LaneSettings Lanes { get; init; }
}
