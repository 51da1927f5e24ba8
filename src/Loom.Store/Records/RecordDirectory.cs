using System.Globalization;
using Loom.Raft;
using Loom.Raft.Log;
using Loom.Raft.Replica;
using Loom.Store.Mvcc;
using Microsoft.Extensions.Logging;

namespace Loom.Store.Records;

/// <summary>
/// The directory <c>records</c> of a member: <c>checkpoint-INDEX</c>, the newest two, and <c>g-GENERATION/hlog.log.N</c>, the record files that they name. What no checkpoint names is
/// of a life that left none, and is deleted at open. Beside them, while a snapshot is installed, the next generation, and <c>installed-INDEX</c> once it is whole (S3).
/// </summary>
internal sealed class RecordDirectory : IRecordDirectory
{
    private const string Prefix = "g-";
    private const string GivenUp = "given-up";

    // A checkpoint of the state that is replaced: its replica waits for it as long as for any (N3).
    private const int CheckpointMilliseconds = 60_000;

    private readonly string path;
    private readonly RecordStoreOptions options;
    private readonly Action<Exception>? onFault;
    private readonly ILogger log;
    private StateOrigin whose;
    private FasterRecordStore? current;
    private long generation;

    public RecordDirectory(string path, RecordStoreOptions options, Action<Exception>? onFault, ILogger log)
    {
        this.path = path;
        this.options = options;
        this.onFault = onFault;
        this.log = log;
        Files = new(path);
    }

    /// <summary>The checkpoint files.</summary>
    internal CheckpointFiles Files { get; }

    /// <inheritdoc/>
    public OpenedRecords Open(StateOrigin origin, Func<StoredState, IRecordRebuild> rebuild)
    {
        try
        {
            return OpenNewest(origin, rebuild);
        }
        catch (Exception e) when (OpenObstacle.Of(e) is { } obstacle)
        {
            throw new RaftException(
                RaftErrorCode.CannotOpen,
                $"The records in {path} cannot be opened now: {obstacle.Message}. {Given(origin)}. Mend the cause (limit of open files, permissions, memory, disk space) and start this member again",
                WriteOutcome.NotApplied,
                e);
        }
    }

    private static string Given(StateOrigin origin) => origin.StartOver
        ? $"What was damaged before is kept in {GivenUp}; the next start begins without a state again"
        : "This is no damage, so no state was given up for it: the next start finds what this one did";

    private OpenedRecords OpenNewest(StateOrigin origin, Func<StoredState, IRecordRebuild> rebuild)
    {
        Posix.CreatePrivateDirectory(path);
        Files.DeleteTemporaries();
        whose = origin;
        if (origin.StartOver)
        {
            SetAside();
            return OpenEmpty(keepsSpace: false);
        }

        List<Exception> damage = [];
        FinishInstallation(damage);
        List<KeptCheckpoint> whole = Files.IsCondemned ? Condemned(damage) : ReadAll(damage);
        for (int i = 0; i < whole.Count; i++)
        {
            KeptCheckpoint candidate = whole[i];
            KeptCheckpoint? before = whole.Skip(i + 1).FirstOrDefault(other => other.File.Generation == candidate.File.Generation);
            if (TryRecover(candidate, before, rebuild, damage) is { } records)
            {
                Keep(candidate, before);
                current = records;
                generation = candidate.File.Generation;
                return new OpenedRecords(records, candidate.File.Stored, before?.Name.Index ?? 0);
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

        return OpenEmpty(keepsSpace: damage.Count == 0);
    }

    /// <inheritdoc/>
    public IRecordInstallation BeginInstall() => new Installation(this);

    /// <inheritdoc/>
    public void Condemn() => Files.Condemn();

    private List<KeptCheckpoint> Condemned(List<Exception> damage)
    {
        damage.Add(new CheckpointDamagedException(path, 0, "the state in it was found to differ from that of the majority (S5)"));
        return [];
    }

    /// <summary>
    /// S3: the log stands on a snapshot that was installed whole, and the member stopped before it was put in force. Any other installation is of no use: it may not even be newer than what is here.
    /// </summary>
    private void FinishInstallation(List<Exception> damage)
    {
        long newest = Files.List().FirstOrDefault().Index;
        if (whose.LogBase == 0 || (newest >= whose.LogBase && !Files.IsCondemned) || !Files.ListInstalled().Contains(whose.LogBase))
        {
            return;
        }

        if (ReadInstalled(damage) is not { } installed)
        {
            return;
        }

        if (installed.ClusterId == 0 && installed.Member == whose.Member)
        {
            // Restored from a backup, before the cluster that it is for had formed and had an id.
            installed = installed with { ClusterId = whose.ClusterId };
            Files.WriteInstalled(installed);
        }

        RequireOurs(installed);
        Files.Adopt(whose.LogBase);
        DeleteFiles(name => name != new CheckpointName(whose.LogBase));
        Files.Acquit();
    }

    private CheckpointFile? ReadInstalled(List<Exception> damage)
    {
        try
        {
            return Files.ReadInstalled(whose.LogBase);
        }
        catch (Exception e) when (e is CheckpointDamagedException or IOException && OpenObstacle.Of(e) is null)
        {
            log.LogWarning("The installed state at entry {Index} cannot be used: {Damage}", whose.LogBase, e.Message);
            damage.Add(e);
            return null;
        }
    }

    /// <summary>The files that can be read and that the log goes on from, newest first.</summary>
    private List<KeptCheckpoint> ReadAll(List<Exception> damage)
    {
        List<KeptCheckpoint> whole = [];
        foreach (CheckpointName name in Files.List())
        {
            try
            {
                CheckpointFile file = Files.Read(name);
                RequireOurs(file);
                if (name.Index >= whose.LogBase)
                {
                    whole.Add(new(name, file));
                }
                else
                {
                    damage.Add(new IOException($"{Files.PathOf(name)} ends at entry {name.Index}, and the log begins after entry {whose.LogBase}."));
                }
            }
            catch (Exception e) when (e is CheckpointDamagedException or IOException && OpenObstacle.Of(e) is null)
            {
                log.LogWarning("The checkpoint at entry {Index} cannot be used: {Damage}", name.Index, e.Message);
                damage.Add(e);
            }
        }

        return whole;
    }

    private void RequireOurs(CheckpointFile file)
    {
        if (file.ClusterId != whose.ClusterId || file.Member != whose.Member)
        {
            throw new RaftException(
                RaftErrorCode.CannotOpen,
                $"{Files.PathOf(new CheckpointName(file.Index))} belongs to the member {file.Member} of cluster {file.ClusterId:x}, this is {whose.Member} of {whose.ClusterId:x}. Put the right directory in its place, or move this one away");
        }
    }

    private FasterRecordStore? TryRecover(KeptCheckpoint opened, KeptCheckpoint? before, Func<StoredState, IRecordRebuild> rebuild, List<Exception> damage)
    {
        CheckpointFile from = opened.File;
        CheckpointTarget target = new(Files, from.ClusterId, from.Member, from.Generation);
        target.Found(opened, before);
        try
        {
            return FasterRecordStore.Recover(PathOf(from.Generation), options, onFault, target, from, Files.PathOf(opened.Name), rebuild(from.Stored));
        }
        catch (Exception e) when (OpenObstacle.Of(e) is null
            && e is (IOException or FASTER.core.FasterException or LoomException { Code: LoomErrorCode.Corruption or LoomErrorCode.Failed } or RaftException { Code: RaftErrorCode.Corruption }))
        {
            log.LogWarning("The records of the checkpoint at entry {Index} cannot be used: {Damage}", from.Index, e.Message);
            damage.Add(e);
            return null;
        }
    }

    /// <summary>
    /// Deletes what is neither of the two. Before anything is appended: a newer checkpoint that could not be used names bytes that will be overwritten.
    /// </summary>
    private void Keep(KeptCheckpoint opened, KeptCheckpoint? before)
    {
        DeleteFiles(name => name != opened.Name && name != before?.Name);

        // The one before is of the same generation: an installed state is the only checkpoint when it comes into force.
        DeleteGenerations(other => other != opened.File.Generation);
        DeleteGivenUp();
    }

    /// <summary>
    /// What cannot be used here may be all that there is: the same trouble (a limit, a driver, a version) may have made the others give theirs up in the same hour. So it is kept, in a directory of
    /// its own, until a snapshot has taken its place.
    /// </summary>
    private void SetAside()
    {
        string kept = Path.Combine(path, GivenUp), moving = kept + ".tmp";
        if (Directory.Exists(kept))
        {
            // Given up before, and nothing has come in its place: what stands here now is that nothing.
            return;
        }

        Posix.CreatePrivateDirectory(moving);
        foreach (string from in (string[])[.. Generations().Select(PathOf), .. Files.List().Select(Files.PathOf), .. Files.ListInstalled().Select(Files.PathOfInstalled)])
        {
            Directory.Move(from, Path.Combine(moving, Path.GetFileName(from)));
        }

        Posix.FlushDirectory(moving);
        Directory.Move(moving, kept);
        Files.Flush();
    }

    private void DeleteGivenUp()
    {
        if (Directory.Exists(Path.Combine(path, GivenUp)))
        {
            Directory.Delete(Path.Combine(path, GivenUp), recursive: true);
        }
    }

    // Of damaged files the space is given up: it may be the disk's blocks that are damaged.
    private OpenedRecords OpenEmpty(bool keepsSpace)
    {
        long last = Generations().DefaultIfEmpty(0).Max();
        generation = last + 1;
        DeleteFiles(_ => true);
        Files.Acquit();
        DeleteGenerations(one => one != last || !keepsSpace);
        if (last > 0 && keepsSpace)
        {
            // Nothing names it any more. Its space is kept for what is applied again (S6).
            Directory.Move(PathOf(last), PathOf(generation));
        }

        current = FasterRecordStore.Open(PathOf(generation), options, onFault, new CheckpointTarget(Files, whose.ClusterId, whose.Member, generation));
        Posix.FlushDirectory(path);
        return new OpenedRecords(current, null, 0);
    }

    private void DeleteFiles(Func<CheckpointName, bool> which)
    {
        foreach (CheckpointName name in Files.List().Where(which))
        {
            Files.Delete(name);
        }

        foreach (long index in Files.ListInstalled())
        {
            Files.DeleteInstalled(index);
        }

        Files.Flush();
    }

    /// <summary>An installation that was complete and not put in force; nobody waits for it any more when the next one begins.</summary>
    private void DeleteInstalled()
    {
        DeleteFiles(_ => false);
        DeleteGenerations(one => one != generation);
    }

    private void DeleteGenerations(Func<long, bool> which)
    {
        foreach (long one in Generations().Where(which))
        {
            Directory.Delete(PathOf(one), recursive: true);
        }
    }

    private List<long> Generations() =>
    [
        .. Directory.EnumerateDirectories(path, Prefix + "*")
            .Select(directory => long.TryParse(Path.GetFileName(directory.AsSpan())[Prefix.Length..], NumberStyles.None, CultureInfo.InvariantCulture, out long number) ? number : 0)
            .Where(number => number > 0),
    ];

    private string PathOf(long number) => PathOf(path, number);

    /// <summary>Where a generation of records is.</summary>
    internal static string PathOf(string records, long number) => Path.Combine(records, string.Create(CultureInfo.InvariantCulture, $"{Prefix}{number}"));

    /// <summary>A generation of records beside the one in force.</summary>
    private sealed class Installation : IRecordInstallation
    {
        private readonly RecordDirectory directory;
        private readonly long generation;
        private readonly CheckpointTarget target;
        private readonly FasterRecordStore records;
        private bool adopted;

        public Installation(RecordDirectory directory)
        {
            this.directory = directory;
            directory.DeleteInstalled();
            generation = directory.Generations().DefaultIfEmpty(0).Max() + 1;
            target = new(directory.Files, directory.whose.ClusterId, directory.whose.Member, generation, isInstallation: true);
            records = FasterRecordStore.Open(directory.PathOf(generation), directory.options, directory.onFault, target);
        }

        public IRecordStore Records => records;

        public void Complete(StoredState state)
        {
            Exception? failure = null;
            using ManualResetEventSlim done = new();
            records.BeginCheckpoint(state, error =>
            {
                failure = error;
                done.Set();
            });
            done.Wait();
            if (failure is not null)
            {
                throw new RaftException(RaftErrorCode.Failed, $"The state that was collected could not be written: {failure.Message}", WriteOutcome.NotApplied, failure);
            }

            Posix.FlushDirectory(directory.path);
        }

        public void Adopt()
        {
            if (!directory.current!.AwaitCheckpoint(Environment.TickCount64 + CheckpointMilliseconds))
            {
                throw new IOException($"the checkpoint of the state that is replaced is not on the disk after {CheckpointMilliseconds / 1000} s");
            }

            directory.Files.Adopt(target.Index);
            target.Adopted();
            directory.DeleteFiles(name => name != new CheckpointName(target.Index));
            directory.Files.Acquit();
            directory.current = records;
            directory.generation = generation;
            adopted = true;
        }

        public void DeleteReplaced()
        {
            directory.DeleteGenerations(other => other != generation);
            directory.DeleteGivenUp();
        }

        public void Dispose()
        {
            if (adopted)
            {
                return;
            }

            records.Dispose();
            if (target.Index == 0)
            {
                Directory.Delete(directory.PathOf(generation), recursive: true);
            }
        }
    }
}
