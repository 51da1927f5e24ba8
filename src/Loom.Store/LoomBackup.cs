using Loom.Raft;
using Loom.Raft.Log;
using Loom.Raft.Membership;
using Loom.Store.Snapshots;

namespace Loom.Store;

/// <summary>Backups as files: written so that what has the name is whole and on the disk, and verified.</summary>
public static partial class LoomBackup
{
    /// <summary>How far a restore raises the revision unless told otherwise: more than a cluster writes in the time since its last backup; etcd's documentation names the same number.</summary>
    public const long DefaultRevisionBump = 1_000_000_000;

    private const int BufferBytes = 1 << 20;

    /// <summary>Reads a backup to its end and checks every byte and every record of it. Nothing is changed.</summary>
    /// <exception cref="LoomException">Corruption: it is damaged; names the offset. CannotOpen: a newer version made it.</exception>
    /// <exception cref="IOException">It cannot be read.</exception>
    public static LoomBackupReport Verify(string path, CancellationToken cancellationToken = default)
    {
        using FileStream file = OpenToRead(path);
        try
        {
            return BackupInspection.Run(path, file, cancellationToken).Report;
        }
        catch (RaftException fault)
        {
            throw Faults.OfBackup(path, fault);
        }
    }

    /// <summary>
    /// Writes a backup (<see cref="ILoomStore.OpenBackupAsync"/>, or what came of one) to PATH.part, flushes it, reads it back whole and verifies it, and only then gives it its name, durably.
    /// If anything fails there is no new file of that name, and an old one is still there.
    /// </summary>
    /// <exception cref="LoomException">TargetExists: there is such a file, and it may not be replaced. Corruption: what arrived is no whole backup.</exception>
    /// <exception cref="IOException">The source broke off, or the file cannot be written.</exception>
    public static async Task<LoomBackupReport> SaveAsync(Stream source, string path, bool overwrite = false, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(source);
        RequireFree(path, overwrite);
        string beside = path + ".part";
        bool mine = false;
        try
        {
            // Nobody else: two backups into one file would be none.
            await using (FileStream file = OpenToWrite(beside))
            {
                mine = true;
                file.SetLength(0);
                await source.CopyToAsync(file, BufferBytes, cancellationToken).ConfigureAwait(false);
                await file.FlushAsync(cancellationToken).ConfigureAwait(false);
                await Task.Run(() => Posix.FlushData(beside, file.SafeFileHandle), cancellationToken).ConfigureAwait(false);
                Posix.ForgetCached(file.SafeFileHandle);
            }

            LoomBackupReport report = await Task.Run(() => Verify(beside, cancellationToken), cancellationToken).ConfigureAwait(false);
            RequireFree(path, overwrite);
            File.Move(beside, path, overwrite);
            Posix.FlushDirectory(Path.GetDirectoryName(Path.GetFullPath(path))!);
            return report with { Path = path };
        }
        catch when (mine)
        {
            File.Delete(beside);
            throw;
        }
    }

    /// <summary>For its owner only: it holds every value, and hashes of passwords.</summary>
    private static FileStream OpenToWrite(string path)
    {
        var options = new FileStreamOptions { Mode = FileMode.OpenOrCreate, Access = FileAccess.Write, Share = FileShare.None, BufferSize = BufferBytes, Options = FileOptions.Asynchronous };
        if (!OperatingSystem.IsWindows())
        {
            options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        }

        return new FileStream(path, options);
    }

    private static FileStream OpenToRead(string path) => new(path, FileMode.Open, FileAccess.Read, FileShare.Read | FileShare.Delete, BufferBytes, FileOptions.SequentialScan);

    private static void RequireFree(string path, bool overwrite)
    {
        if (Directory.Exists(path) || (!overwrite && File.Exists(path)))
        {
            throw Faults.TargetExists(path);
        }
    }
}

/// <summary>What a verified backup holds.</summary>
public sealed record LoomBackupReport
{
    /// <summary>The file.</summary>
    public required string Path { get; init; }

    /// <summary>Its length.</summary>
    public required long Bytes { get; init; }

    /// <summary>SHA-256 of everything in it but itself, the last 32 bytes; in hexadecimal digits.</summary>
    public required string Hash { get; init; }

    /// <summary>Revision of the state.</summary>
    public required long Revision { get; init; }

    /// <summary>Compacted revision, -1 when never compacted.</summary>
    public required long CompactRevision { get; init; }

    /// <summary>Epoch of the state (<see cref="LoomStatus.Epoch"/>).</summary>
    public required long Epoch { get; init; }

    /// <summary>Live keys.</summary>
    public required long Keys { get; init; }

    /// <summary>Records: versions of keys, and deletions.</summary>
    public required long Records { get; init; }

    /// <summary>Index of the last entry of the log in it.</summary>
    public required long Index { get; init; }

    /// <summary>Term of that entry.</summary>
    public required long Term { get; init; }

    /// <summary>The cluster that it is of.</summary>
    public required ulong ClusterId { get; init; }

    /// <summary>The member that gave it.</summary>
    public required ulong Source { get; init; }

    /// <summary>The members of that cluster then.</summary>
    public required Configuration Configuration { get; init; }
}
