using Loom.Raft;
using Loom.Raft.Membership;
using Loom.Raft.Replica;
using Loom.Store.Alarms;
using Loom.Store.Applying;
using Loom.Store.Mvcc;
using Loom.Store.Snapshots;

namespace Loom.Store;

/// <content>Backups into data directories.</content>
public static partial class LoomBackup
{
    // Far below where sums of revisions would overflow.
    private const long MaxRevision = 1L << 62;

    /// <summary>
    /// Makes of a backup the data directory of a member of a new cluster. Every member is restored from the same file, with the same bump and the same <see cref="LoomOptions.InitialCluster"/> and token; then
    /// they are opened with the same options, and form the cluster. Its epoch is one higher than the backup's; sessions and alarms of the old cluster are dropped, and leases go on with the time that they had left.
    /// </summary>
    /// <param name="path">The backup; it is verified whole first.</param>
    /// <param name="options">As the member will be opened with. <see cref="LoomOptions.DataDirectory"/> must not hold anything.</param>
    /// <param name="revisionBump">
    /// By how much the revision is raised; the history before it counts as compacted. Clients of the old cluster may have seen revisions above the backup's: they must not meet the same numbers with other content.
    /// Zero keeps revision and history, for who knows that nobody has.
    /// </param>
    /// <param name="dryRun">Only verifies, and says what it would do.</param>
    /// <param name="cancellationToken">Ends it; what was made is removed.</param>
    /// <exception cref="LoomException">TargetExists: the directory holds something. CannotOpen: the options contradict themselves, or a newer version made the backup. Corruption: it is damaged.</exception>
    /// <exception cref="IOException">The backup cannot be read, or the directory cannot be written. What was made is removed; what of it cannot be is refused at an open.</exception>
    public static LoomRestoreReport Restore(
        string path, LoomOptions options, long revisionBump = DefaultRevisionBump, bool dryRun = false, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(options);
        LoomOptions copy = options.Copy();
        try
        {
            Configuration list = RaftRestoration.Check(copy.ToRaft());
            if (!RaftRestoration.IsFree(copy.DataDirectory))
            {
                throw Faults.TargetExists(copy.DataDirectory);
            }

            InspectedBackup backup = Inspect(path, cancellationToken);
            StateHeader header = Raise(backup, revisionBump);
            if (!dryRun)
            {
                Make(path, copy, backup, header, revisionBump, cancellationToken);
            }

            return new LoomRestoreReport
            {
                Backup = backup.Report,
                DataDirectory = copy.DataDirectory,
                Name = copy.Name,
                Members = list,
                Revision = header.State.Revision,
                CompactRevision = header.State.CompactRevision,
                Epoch = header.State.Epoch,
                Records = header.Content.Records,
            };
        }
        catch (RaftException fault)
        {
            throw Faults.Translate(fault, isWrite: false, cancellationToken);
        }
    }

    private static InspectedBackup Inspect(string path, CancellationToken cancellationToken)
    {
        using FileStream file = OpenToRead(path);
        try
        {
            return BackupInspection.Run(path, file, cancellationToken);
        }
        catch (RaftException fault)
        {
            throw Faults.OfBackup(path, fault);
        }
    }

    /// <summary>The state as the new cluster begins with it.</summary>
    private static StateHeader Raise(InspectedBackup backup, long bump)
    {
        MachineState state = backup.Header.State with { Alarms = AlarmTable.Empty, Epoch = backup.Header.State.Epoch + 1 };
        if (bump < 0 || bump > MaxRevision - state.Revision)
        {
            throw Faults.BadBump(bump, state.Revision);
        }

        return bump == 0
            ? backup.Header with { State = state }
            : backup.Header with { State = state with { Revision = state.Revision + bump, CompactRevision = state.Revision + bump }, Content = backup.Newest };
    }

    private static void Make(string path, LoomOptions options, InspectedBackup backup, StateHeader header, long bump, CancellationToken cancellationToken)
    {
        using RaftRestoration restoration = RaftRestoration.Begin(options.ToRaft(), backup.Description, backup.Digest, bump);
        using (LoomStateMachine machine = new(new KeyIndex(), LoomStoreFactory.Records(options)))
        {
            // An empty store beside which the state is installed: it comes into force when the log that begins behind it is there, which the cluster makes when it forms (S3).
            _ = machine.Open(new StateOrigin(0, restoration.Member, 0, 0));
            using IStateInstallation installation = machine.BeginInstall(restoration.At, header.Encode());
            Fill(installation, path, backup, isRaised: bump != 0, cancellationToken);
            installation.Complete();
        }

        restoration.Complete();
    }

    private static void Fill(IStateInstallation installation, string path, InspectedBackup backup, bool isRaised, CancellationToken cancellationToken)
    {
        using FileStream file = OpenToRead(path);
        using BackupReader reader = new(file);
        NewestOnly newest = new(installation);
        StateIntake intake = new(reader.Header, newest);
        while (reader.Next() is { } chunk)
        {
            cancellationToken.ThrowIfCancellationRequested();
            if (isRaised)
            {
                intake.Take(chunk);
            }
            else
            {
                installation.Write(chunk);
            }
        }

        if (isRaised)
        {
            intake.Complete();
            newest.Complete();
        }

        if (!reader.Digest.AsSpan().SequenceEqual(backup.Digest))
        {
            throw new IOException($"{path} has changed while it was restored");
        }
    }
}

/// <summary>What a restore did, or would do.</summary>
public sealed record LoomRestoreReport
{
    /// <summary>The backup.</summary>
    public required LoomBackupReport Backup { get; init; }

    /// <summary>Where the member's data is.</summary>
    public required string DataDirectory { get; init; }

    /// <summary>The member.</summary>
    public required string Name { get; init; }

    /// <summary>The members of the new cluster, as listed.</summary>
    public required Configuration Members { get; init; }

    /// <summary>Revision with which it begins.</summary>
    public required long Revision { get; init; }

    /// <summary>Its compacted revision, -1: never compacted.</summary>
    public required long CompactRevision { get; init; }

    /// <summary>Its epoch.</summary>
    public required long Epoch { get; init; }

    /// <summary>Records in it.</summary>
    public required long Records { get; init; }
}
