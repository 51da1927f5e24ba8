using System.Globalization;
using Loom.Raft;
using Loom.Store.Records;

namespace Loom.Store;

/// <summary>Looks at the data directory of a member that does not run: every checksum, and whether a member would start from it. Nothing is changed.</summary>
public static class LoomDirectory
{
    /// <summary>Reads the whole directory: as long as its files take. What is damaged is in the report.</summary>
    /// <exception cref="LoomException">CannotOpen: a member runs in it, or it is no data directory.</exception>
    public static LoomDirectoryReport Verify(string path)
    {
        try
        {
            using RaftDirectory directory = RaftDirectory.OpenForReading(path);
            RaftDirectoryReport raft = directory.Examine();
            List<CheckpointReport> checkpoints = new CheckpointExamination(Path.Combine(directory.Path, "records"), raft.ClusterId, raft.MemberId).Run();
            string? obstacle = ObstacleOf(raft, checkpoints, out string start);
            return new LoomDirectoryReport
            {
                Path = directory.Path,
                Raft = raft,
                Checkpoints = checkpoints,
                Damage = [.. raft.Faults.Select(fault => fault.Message), .. raft.Dispensable, .. checkpoints.Select(checkpoint => checkpoint.Damage).OfType<string>()],
                WouldStart = obstacle is null,
                Start = obstacle ?? start,
            };
        }
        catch (RaftException fault)
        {
            throw Faults.Translate(fault, isWrite: false, CancellationToken.None);
        }
    }

    /// <summary>Why no member would start from it; null: it would, from what <paramref name="start"/> says.</summary>
    private static string? ObstacleOf(RaftDirectoryReport raft, List<CheckpointReport> checkpoints, out string start)
    {
        start = "";
        if (raft.Faults.Count > 0)
        {
            return "what is damaged cannot be done without; in a larger cluster the member puts the directory aside and joins again, alone it refuses";
        }

        if (raft.Log is not { } log)
        {
            start = (raft.RestoredFrom is null ? "" : string.Create(CultureInfo.InvariantCulture, $"from the backup {raft.RestoredFrom}, up to entry {raft.RestoredIndex}; "))
                + (raft.Proposed.Count == 0 ? "a cluster is to be formed first" : $"it has agreed to form a cluster of {string.Join(", ", raft.Proposed)}");
            return raft.RestoredFrom is null || checkpoints.Exists(one => one is { IsInstalled: true, Damage: null } && one.Index == raft.RestoredIndex)
                ? null
                : "the state that was restored is not whole: remove what is in the directory, and restore it again";
        }

        CheckpointReport? newest = checkpoints.FirstOrDefault(one => one.Damage is null && (one.IsInstalled ? one.Index == log.BaseIndex : one.Index >= log.BaseIndex));
        if (newest is not null)
        {
            start = string.Create(CultureInfo.InvariantCulture, $"from the checkpoint at entry {newest.Index} and {log.LastIndex - newest.Index} entries of the log");
            return LostTail(log, newest);
        }

        if (log.BaseIndex == 0)
        {
            start = "from the whole log";
            return null;
        }

        string missing = string.Create(CultureInfo.InvariantCulture, $"no checkpoint can be used, and the log begins after entry {log.BaseIndex}");
        start = string.Create(
            CultureInfo.InvariantCulture,
            $"without a state: {missing}; it keeps its id and its log, votes, answers no read, and takes the state of another member that holds entry {log.BaseIndex} (what is left of its own is kept in records/given-up until then)");
        return log.Configuration.Members.Count > 1 ? null : $"{missing}, and in a cluster of one there is no member to take a state from: restore a backup";
    }

    /// <summary>L9: a state that the log does not lead to.</summary>
    private static string? LostTail(RaftLogReport log, CheckpointReport newest)
    {
        if (newest.Index > log.LastIndex)
        {
            return string.Create(CultureInfo.InvariantCulture, $"the log has lost its tail: it ends at entry {log.LastIndex}, and the checkpoint is at entry {newest.Index}");
        }

        long term = log.TermAt(newest.Index);
        return newest.Index == 0 || term == newest.Term ? null : string.Create(
            CultureInfo.InvariantCulture, $"entry {newest.Index} is of term {term} in the log and of term {newest.Term} in the checkpoint");
    }
}

/// <summary>What a data directory holds.</summary>
public sealed record LoomDirectoryReport
{
    /// <summary>The directory.</summary>
    public required string Path { get; init; }

    /// <summary>Identity and log.</summary>
    public required RaftDirectoryReport Raft { get; init; }

    /// <summary>Newest first.</summary>
    public required IReadOnlyList<CheckpointReport> Checkpoints { get; init; }

    /// <summary>Everything that is damaged, each with file, place and remedy.</summary>
    public required IReadOnlyList<string> Damage { get; init; }

    /// <summary>A member would start from it as it is.</summary>
    public required bool WouldStart { get; init; }

    /// <summary>From what it would start, or why it would not.</summary>
    public required string Start { get; init; }
}

/// <summary>A checkpoint of the records, as it was found.</summary>
public sealed record CheckpointReport
{
    /// <summary>Its file.</summary>
    public required string File { get; init; }

    /// <summary>The last entry in it.</summary>
    public required long Index { get; init; }

    /// <summary>Term of that entry.</summary>
    public long Term { get; init; }

    /// <summary>It came from a snapshot, and is not in force before the log stands on it.</summary>
    public bool IsInstalled { get; init; }

    /// <summary>Revision of the state.</summary>
    public long Revision { get; init; }

    /// <summary>Compacted revision, -1 when never compacted.</summary>
    public long CompactRevision { get; init; }

    /// <summary>Live keys.</summary>
    public long Keys { get; init; }

    /// <summary>Records, each with its checksum verified unless <see cref="Damage"/> says otherwise.</summary>
    public long Records { get; init; }

    /// <summary>Bytes of them.</summary>
    public long Bytes { get; init; }

    /// <summary>What is wrong with it; null: it is whole.</summary>
    public string? Damage { get; init; }
}
