using System.Globalization;
using Loom.Raft;
using Loom.Raft.Log;
using Loom.Raft.Replica;
using Loom.Store.Mvcc;
using Microsoft.Extensions.Logging;

namespace Loom.Store.Records;

/// <summary>
/// The directory <c>records</c> of a member: <c>checkpoint-INDEX</c>, the newest two, and <c>g-GENERATION/hlog.log.N</c>, the record files that they name. What no checkpoint names is
/// of a life that left none, and is deleted at open.
/// </summary>
internal sealed class RecordDirectory(string path, RecordStoreOptions options, Action<Exception>? onFault, ILogger log) : IRecordDirectory
{
    private const string Prefix = "g-";

    /// <summary>The checkpoint files.</summary>
    internal CheckpointFiles Files { get; } = new(path);

    /// <inheritdoc/>
    public OpenedRecords Open(StateOrigin origin, Func<StoredState, IRecordRebuild> rebuild)
    {
        Directory.CreateDirectory(path);
        Files.DeleteTemporaries();
        if (origin.StartOver)
        {
            return OpenEmpty(origin);
        }

        List<Exception> damage = [];
        List<CheckpointFile> whole = ReadAll(origin, damage);
        foreach (CheckpointFile candidate in whole)
        {
            CheckpointFile? before = whole.FirstOrDefault(other => other.Index < candidate.Index);
            if (TryRecover(candidate, before, rebuild, damage) is { } records)
            {
                Keep(candidate, before);
                return new OpenedRecords(records, candidate.Stored, before?.Index ?? 0);
            }
        }

        string what = damage.Count == 0 ? $"{path} holds no checkpoint" : string.Join(" ", damage.Select(one => one.Message));
        if (origin.LogBase > 0)
        {
            throw new SnapshotNeededException(origin.LogBase, what, damage.FirstOrDefault());
        }

        if (damage.Count > 0)
        {
            log.LogWarning("No checkpoint of the records can be used; they are rebuilt from the whole log, which is still there. {Damage}", what);
        }

        return OpenEmpty(origin);
    }

    /// <summary>The files that can be read, newest first.</summary>
    private List<CheckpointFile> ReadAll(StateOrigin origin, List<Exception> damage)
    {
        List<CheckpointFile> whole = [];
        foreach (long index in Files.List())
        {
            try
            {
                CheckpointFile file = Files.Read(index);
                RequireOurs(file, origin);
                whole.Add(file);
            }
            catch (Exception e) when (e is CheckpointDamagedException or IOException)
            {
                log.LogWarning("The checkpoint at entry {Index} cannot be used: {Damage}", index, e.Message);
                damage.Add(e);
            }
        }

        return whole;
    }

    private void RequireOurs(CheckpointFile file, StateOrigin origin)
    {
        if (file.ClusterId != origin.ClusterId || file.Member != origin.Member)
        {
            throw new RaftException(
                RaftErrorCode.CannotOpen,
                $"{Files.PathOf(file.Index)} belongs to the member {file.Member} of cluster {file.ClusterId:x}, this is {origin.Member} of {origin.ClusterId:x}. Put the right directory in its place, or move this one away");
        }
    }

    private FasterRecordStore? TryRecover(CheckpointFile from, CheckpointFile? before, Func<StoredState, IRecordRebuild> rebuild, List<Exception> damage)
    {
        CheckpointTarget target = new(Files, from.ClusterId, from.Member, from.Generation);
        target.Found(from, before);
        try
        {
            return FasterRecordStore.Recover(PathOf(from.Generation), options, onFault, target, from, Files.PathOf(from.Index), rebuild(from.Stored));
        }
        catch (Exception e) when (e is IOException or FASTER.core.FasterException or LoomException { Code: LoomErrorCode.Corruption or LoomErrorCode.Failed } or RaftException { Code: RaftErrorCode.Corruption })
        {
            log.LogWarning("The records of the checkpoint at entry {Index} cannot be used: {Damage}", from.Index, e.Message);
            damage.Add(e);
            return null;
        }
    }

    /// <summary>
    /// Deletes what is neither of the two. Before anything is appended: a newer checkpoint that could not be used names bytes that will be overwritten.
    /// </summary>
    private void Keep(CheckpointFile opened, CheckpointFile? before)
    {
        foreach (long index in Files.List().Where(index => index != opened.Index && index != before?.Index))
        {
            Files.Delete(index);
        }

        Files.Flush();
        DeleteGenerations(generation => generation != opened.Generation && generation != before?.Generation);
    }

    private OpenedRecords OpenEmpty(StateOrigin origin)
    {
        long generation = Generations().DefaultIfEmpty(0).Max() + 1;
        foreach (long index in Files.List())
        {
            Files.Delete(index);
        }

        Files.Flush();
        DeleteGenerations(_ => true);
        string directory = PathOf(generation);
        FasterRecordStore records = FasterRecordStore.Open(directory, options, onFault, new CheckpointTarget(Files, origin.ClusterId, origin.Member, generation));
        Posix.FlushDirectory(path);
        return new OpenedRecords(records, null, 0);
    }

    private void DeleteGenerations(Func<long, bool> which)
    {
        foreach (long generation in Generations().Where(which))
        {
            Directory.Delete(PathOf(generation), recursive: true);
        }
    }

    private List<long> Generations() =>
    [
        .. Directory.EnumerateDirectories(path, Prefix + "*")
            .Select(directory => long.TryParse(Path.GetFileName(directory.AsSpan())[Prefix.Length..], NumberStyles.None, CultureInfo.InvariantCulture, out long generation) ? generation : 0)
            .Where(generation => generation > 0),
    ];

    private string PathOf(long generation) => Path.Combine(path, string.Create(CultureInfo.InvariantCulture, $"{Prefix}{generation}"));
}
