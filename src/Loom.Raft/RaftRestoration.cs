using System.Security.Cryptography;
using Loom.Raft.Consensus;
using Loom.Raft.Log;
using Loom.Raft.Membership;
using Loom.Raft.Replica;
using Loom.Raft.Sessions;

namespace Loom.Raft;

/// <summary>
/// A data directory that is being made of a snapshot, for a member of a new cluster: locked, and unusable until <see cref="Complete"/>. Every member of that cluster is restored from the same snapshot in the
/// same way; then they form it as any other, but their logs begin behind the snapshot's last entry, and whoever was restored from another one, or not at all, is refused by name.
/// Sessions of the old cluster end: what its members still have under way is refused here, never applied a second time.
/// </summary>
public sealed class RaftRestoration : IDisposable
{
    private const string Mounted = "lost+found";

    private readonly IFileSystem files;
    private readonly string path;
    private readonly DirectoryLock hold;
    private readonly MemberIdentity identity;
    private readonly RestoredFile restored;
    private bool completed;

    private RaftRestoration(IFileSystem files, string path, DirectoryLock hold, MemberIdentity identity, RestoredFile restored, StatePosition at)
    {
        this.files = files;
        this.path = path;
        this.hold = hold;
        this.identity = identity;
        this.restored = restored;
        At = at;
    }

    /// <summary>Where the state stands, with Raft's section for the new cluster.</summary>
    public StatePosition At { get; }

    /// <summary>Whose state it is.</summary>
    public MemberId Member => identity.Id;

    /// <summary>Whether there is nothing at this place that a restore would have to overwrite.</summary>
    public static bool IsFree(string path) => Occupant(path) is null;

    /// <summary>The members that would form the cluster.</summary>
    /// <exception cref="RaftException">CannotOpen: the options contradict themselves.</exception>
    public static Configuration Check(RaftNodeOptions options) => InitialConfiguration.Of(RaftNodeOptionsCheck.CopyAndValidate(options));

    /// <summary>Makes and locks the directory of <paramref name="options"/>, which must not hold anything.</summary>
    /// <param name="options">Name, directory, token and list of members, as the member will be started with.</param>
    /// <param name="from">The snapshot.</param>
    /// <param name="hash">SHA-256 of all of it, by which it is known.</param>
    /// <param name="variant">What else the restored state depends on.</param>
    /// <exception cref="RaftException">CannotOpen: the options contradict themselves, or the directory is used or cannot be made.</exception>
    public static RaftRestoration Begin(RaftNodeOptions options, RaftSnapshotDescription from, ReadOnlyMemory<byte> hash, long variant)
    {
        ArgumentNullException.ThrowIfNull(from);
        RaftNodeOptions copy = RaftNodeOptionsCheck.CopyAndValidate(options);
        Configuration list = InitialConfiguration.Of(copy);
        string path = copy.DataDirectory.TrimEnd('/');
        RequireEmpty(path);
        StatePosition at = Reset(from.At, out LogStart start);
        DirectoryLock hold = DirectoryLock.Acquire(path);
        try
        {
            RequireEmpty(path);
            MemberId member = InitialConfiguration.IdOf(copy.ClusterToken, copy.Name);
            var restored = new RestoredFile(member, BitConverter.ToUInt64(RandomNumberGenerator.GetBytes(8)) | 1, hash, variant, start, list);
            restored.Write(PosixFileSystem.Instance, path, whole: false);
            var identity = new MemberIdentity(member, restored.Incarnation, copy.Name, copy.ClusterToken, 0, 0, restored.Origin);
            return new RaftRestoration(PosixFileSystem.Instance, path, hold, identity, restored, at);
        }
        catch (IOException e)
        {
            hold.Dispose();
            throw new RaftException(RaftErrorCode.CannotOpen, $"The data directory {path} cannot be made: {e.Message}.", inner: e);
        }
        catch
        {
            hold.Dispose();
            throw;
        }
    }

    /// <summary>The application's state is there, durable: from now on a member may be started from the directory.</summary>
    /// <exception cref="IOException">It cannot be written.</exception>
    public void Complete()
    {
        identity.Write(files, path);
        restored.Write(files, path, whole: true);
        completed = true;
    }

    /// <summary>Unlocks the directory. Without <see cref="Complete"/> what is in it is removed, as far as that can be done; what is left is refused at a start.</summary>
    public void Dispose()
    {
        if (!completed) Remove();
        hold.Dispose();
    }

    /// <summary>The same place for the new cluster: its cluster time and hash go on, its sessions begin anew.</summary>
    private static StatePosition Reset(StatePosition at, out LogStart start)
    {
        (UInt128 applyHash, long clusterTime) = AppliedSection.Decode(at.Section.Span, new SessionTable());
        start = new LogStart(at.Index, at.Term, clusterTime);
#if LOOM_MUTATIONS
        if (Diagnostics.Mutations.On("S8-sessions-kept")) return at;
#endif
        return at with { Section = AppliedSection.Encode(applyHash, clusterTime, new SessionTable()) };
    }

    /// <summary>
    /// A file system that is mounted as the data directory brings its own; an empty lock is left by a start or a restore that was refused, and the mark under its temporary name by one that died
    /// before it had done anything.
    /// </summary>
    private static string? Occupant(string path) => Directory.Exists(path)
        ? Directory.EnumerateFileSystemEntries(path).Select(entry => Path.GetFileName(entry)).FirstOrDefault(name => name is not ("lock" or Mounted or RestoredFile.FileName + ".tmp"))
        : File.Exists(path) ? "it is a file" : null;

    private static void RequireEmpty(string path)
    {
        if (Occupant(path) is { } found)
            throw new RaftException(RaftErrorCode.CannotOpen, $"The directory {path} is not empty ({found}). Restore into a new one, or move away what is there.");
    }

    /// <summary>The mark that the restore did not finish goes last: until then a start is refused.</summary>
    private void Remove()
    {
        try
        {
            foreach (string directory in Directory.EnumerateDirectories(path).Where(d => Path.GetFileName(d) != Mounted)) Directory.Delete(directory, recursive: true);
            files.Delete($"{path}/{MemberIdentity.FileName}");
            files.FlushDirectory(path);
            files.Delete($"{path}/{RestoredFile.FileName}");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // Whatever made the restore fail may hold up this, too.
        }
    }
}
