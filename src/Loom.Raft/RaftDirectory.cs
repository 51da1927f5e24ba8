using Loom.Raft.Consensus;
using Loom.Raft.Log;
using Loom.Raft.Membership;

namespace Loom.Raft;

/// <summary>
/// A member's data directory, to be looked at while no member runs in it: it is locked until this is disposed of, and not one byte of it is changed.
/// </summary>
public sealed class RaftDirectory : IDisposable
{
    private readonly DirectoryLock? hold;

    private RaftDirectory(string path, DirectoryLock? hold)
    {
        Path = path;
        this.hold = hold;
    }

    /// <summary>The directory.</summary>
    public string Path { get; }

    /// <summary>Locks a data directory for reading.</summary>
    /// <exception cref="RaftException">CannotOpen: a member runs in it, or it is none.</exception>
    public static RaftDirectory OpenForReading(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        string directory = System.IO.Path.TrimEndingDirectorySeparator(path);
        if (!Directory.Exists(directory)) throw new RaftException(RaftErrorCode.CannotOpen, $"There is no directory {directory}. Name the --data-dir of a member.");
        var opened = new RaftDirectory(directory, DirectoryLock.AcquireExisting(directory));
        if (opened.hold is not null || DirectoryExamination.IsDataDirectory(ReadOnlyFileSystem.Instance, directory)) return opened;
        throw new RaftException(RaftErrorCode.CannotOpen, $"{directory} is no data directory of a member: nothing of one is in it. Name the --data-dir of a member.");
    }

    /// <summary>Reads the identity and the whole log and checks every checksum. What is wrong is in the report.</summary>
    public RaftDirectoryReport Examine() => DirectoryExamination.Run(ReadOnlyFileSystem.Instance, Path);

    /// <inheritdoc/>
    public void Dispose() => hold?.Dispose();
}

/// <summary>What the identity and the log of a data directory say.</summary>
public sealed record RaftDirectoryReport
{
    /// <summary>Name of the member; null: the identity is missing or damaged.</summary>
    public string? Name { get; init; }

    /// <summary>Token of its cluster.</summary>
    public string? Token { get; init; }

    /// <summary>The member.</summary>
    public MemberId MemberId { get; init; }

    /// <summary>The cluster; 0: not formed.</summary>
    public ulong ClusterId { get; init; }

    /// <summary>Names of the members that it has agreed to form a cluster with, until it is formed.</summary>
    public IReadOnlyList<string> Proposed { get; init; } = [];

    /// <summary>SHA-256 of the backup that it was restored from, until the cluster is formed; null: it was not.</summary>
    public string? RestoredFrom { get; init; }

    /// <summary>The last entry that is in that backup.</summary>
    public long RestoredIndex { get; init; }

    /// <summary>The log; null: there is none yet, or it is damaged.</summary>
    public RaftLogReport? Log { get; init; }

    /// <summary>What is damaged or does not belong together, each with the file, the offset and the remedy. With any of them no member starts from this directory.</summary>
    public IReadOnlyList<RaftException> Faults { get; init; } = [];

    /// <summary>What is damaged and can be done without.</summary>
    public IReadOnlyList<string> Dispensable { get; init; } = [];
}

/// <summary>What a whole log says.</summary>
public sealed record RaftLogReport
{
    /// <summary>Files.</summary>
    public required int Segments { get; init; }

    /// <summary>Bytes of them.</summary>
    public required long Bytes { get; init; }

    /// <summary>Index before the first entry.</summary>
    public required long BaseIndex { get; init; }

    /// <summary>Index of the last entry.</summary>
    public required long LastIndex { get; init; }

    /// <summary>Term that the member had entered.</summary>
    public required long Term { get; init; }

    /// <summary>Up to where the member knew entries to be committed, at the least.</summary>
    public required long CommitHint { get; init; }

    /// <summary>The newest configuration.</summary>
    public required Configuration Configuration { get; init; }

    /// <summary>Term of each index from the base to the last; only for these.</summary>
    public required Func<long, long> TermAt { get; init; }
}
