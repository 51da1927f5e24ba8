using Loom.Raft.Log;

namespace Loom.Raft.Membership;

/// <summary>
/// A member's data directory: locked for the life of the process, its identity read or drawn, its log opened once the cluster is formed (E1, N5).
/// <code>
/// DIRECTORY/lock      flock
/// DIRECTORY/cluster   who this member is (MemberIdentity)
/// DIRECTORY/proposal  the initial configuration it has agreed to, until the cluster is formed (ProposalFile)
/// DIRECTORY/raft/     the log
/// </code>
/// </summary>
internal sealed class MemberDirectory : IDisposable
{
    private readonly IFileSystem files;
    private readonly string path;
    private readonly IDisposable hold;
    private ulong seed;

    private MemberDirectory(IFileSystem files, string path, IDisposable hold, ulong seed, MemberIdentity identity, Configuration? proposal)
    {
        this.files = files;
        this.path = path;
        this.hold = hold;
        this.seed = seed;
        Identity = identity;
        Proposal = proposal;
    }

    public MemberIdentity Identity { get; private set; }

    /// <summary>What this directory has agreed to and may have announced; null: nothing, or formed.</summary>
    public Configuration? Proposal { get; private set; }

    /// <summary>The members as the proposal lists them, or null. Like a formed directory, one with a proposal ignores the flags (N5): it cannot take back what it has said.</summary>
    public Configuration? ProposedList => Proposal is null ? null : InitialConfiguration.ListOf(Proposal);

    public string Path => path;

    private string LogPath => $"{path}/raft";

    /// <summary>Locks it, and reads or draws the identity, flushed before it returns: it is what the first hello says.</summary>
    /// <exception cref="RaftException">CannotOpen or Corruption; the message says what to do.</exception>
    public static MemberDirectory Open(IFileSystem files, RaftNodeOptions options, ulong seed, Func<string, IDisposable> acquire)
    {
        string path = options.DataDirectory.TrimEnd('/');
        IDisposable hold = acquire(path);
        try
        {
            MemberIdentity? identity = MemberIdentity.Read(files, path);
            if (identity is null)
            {
                RequireEmpty(files, path);
                _ = InitialConfiguration.Of(options);
                identity = new MemberIdentity(
                    InitialConfiguration.IdOf(options.ClusterToken, options.Name), Draw(ref seed), options.Name, options.ClusterToken, 0, 0);
                identity.Write(files, path);
            }
            RequireOurs(identity, path, options);
            Configuration? proposal = identity.IsFormed ? null : ProposalFile.Read(files, path, identity);
            return new MemberDirectory(files, path, hold, seed, identity, proposal);
        }
        catch (IOException e)
        {
            hold.Dispose();
            throw new RaftException(RaftErrorCode.CannotOpen, $"The data directory {path} cannot be used: {e.Message}.", inner: e);
        }
        catch
        {
            hold.Dispose();
            throw;
        }
    }

    /// <summary>Opens the log of a formed member.</summary>
    public RecoveredLog OpenLog() => DurableLog.Open(files, LogPath, new LogIdentity(Identity.ClusterId, Identity.Id), Draw(ref seed));

    /// <summary>Writes a proposal down, flushed before it returns: it is what the next hello says.</summary>
    public void Propose(Configuration proposal)
    {
        ProposalFile.Write(files, path, Identity, proposal);
        Proposal = proposal;
    }

    /// <summary>The cluster is agreed: makes the log with the initial configuration as its base, and only then says in the identity that this member is formed.</summary>
    public RecoveredLog Form(Configuration initial)
    {
        ulong clusterId = InitialConfiguration.ClusterId(initial, Identity.Token);
        RecoveredLog log = DurableLog.Create(files, LogPath, new LogIdentity(clusterId, Identity.Id), initial, Draw(ref seed));
        MemberIdentity formed = Identity with { ClusterId = clusterId, ConfigurationHash = InitialConfiguration.ListHash(initial) };
        formed.Write(files, path);
        Identity = formed;
        Proposal = null;
        return log;
    }

    public void Dispose() => hold.Dispose();

    private static void RequireEmpty(IFileSystem files, string path)
    {
        // A log or a proposal without an identity: the file that says who may vote with it is gone, so nobody may (E1).
        if (files.ListFiles($"{path}/raft").Count > 0 || files.FileExists($"{path}/{ProposalFile.FileName}"))
        {
            throw new CorruptionException($"{path}/{MemberIdentity.FileName}", 0, "the file is missing beside a log or a proposal",
                "This directory cannot prove which member it was, so it must not vote: move it away and let the member join again with an empty one.");
        }
    }

    /// <summary>A used directory ignores the flags (N5), but a flag that names another member or cluster shows that the directory is the wrong one. Defaults name nobody.</summary>
    private static void RequireOurs(MemberIdentity identity, string path, RaftNodeOptions options)
    {
        var defaults = new RaftNodeOptions();
        if (options.ClusterToken != identity.Token && options.ClusterToken != defaults.ClusterToken) identity.RequireToken(path, options.ClusterToken);
        if (options.Name != identity.Name && options.Name != defaults.Name)
        {
            throw new RaftException(RaftErrorCode.CannotOpen,
                $"The data directory {path} belongs to member {identity.Name}, not {options.Name}. Start it under that name, or choose another directory.");
        }
    }

    private static ulong Draw(ref ulong state)
    {
        ulong z = state += 0x9E3779B97F4A7C15;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return (z ^ (z >> 31)) | 1;
    }
}
