using Loom.Raft.Log;

namespace Loom.Raft.Membership;

/// <summary>
/// A member's data directory: locked for the life of the process, its identity read or drawn, its log opened once the cluster is formed (E1, N5).
/// <code>
/// DIRECTORY/lock      flock
/// DIRECTORY/cluster   who this member is (MemberIdentity)
/// DIRECTORY/proposal  the initial configuration it has agreed to, until the cluster is formed (ProposalFile)
/// DIRECTORY/restored  the backup that it was restored from, if it was (RestoredFile)
/// DIRECTORY/starts    how often it was started since, and by which processes (StartCounter)
/// DIRECTORY/peers     how often the others were (PeerMemory)
/// DIRECTORY/forgotten what it holds is out of date (ForgottenMark)
/// DIRECTORY/raft/     the log
/// </code>
/// One that is damaged or out of date is not used: it only holds the lock, and stands in with an identity that is not on any disk yet, until the others have said that they can do without it
/// (<see cref="SetAside"/>) or the member gives up.
/// </summary>
internal sealed class MemberDirectory : IDisposable
{
    private readonly IFileSystem files;
    private readonly RaftNodeOptions options;
    private readonly string path;
    private readonly Func<string, IDisposable> acquire;
    private IDisposable hold;
    private ulong seed;

    private MemberDirectory(IFileSystem files, RaftNodeOptions options, string path, ulong seed, Func<string, IDisposable> acquire)
    {
        this.files = files;
        this.options = options;
        this.path = path;
        this.seed = seed;
        Process = seed | 1;
        this.acquire = acquire;
        hold = acquire(path);
        Identity = null!;
    }

    public MemberIdentity Identity { get; private set; }

    /// <summary>What this directory has agreed to and may have announced; null: nothing, or formed.</summary>
    public Configuration? Proposal { get; private set; }

    /// <summary>What this directory was restored from; null: nothing, or formed.</summary>
    public RestoredFile? Restored { get; private set; }

    /// <summary>How often it was started, this time included; none until it is formed.</summary>
    public StartCount Starts { get; private set; } = StartCount.None;

    /// <summary>Random number of this life of the process; not zero.</summary>
    public ulong Process { get; }

    /// <summary>Why the directory must not be used; null: nothing is wrong with it.</summary>
    public CorruptionException? Damage { get; private set; }

    /// <summary>
    /// The members as the proposal lists them, or as they were listed when it was restored, or null. Like a formed directory, such a one ignores the flags (N5): it cannot take back what it has said.
    /// </summary>
    public Configuration? ProposedList => Proposal is null ? Restored?.List : InitialConfiguration.ListOf(Proposal);

    public string Path => path;

    private string LogPath => $"{path}/raft";

    /// <summary>A member alone has nobody to be filled from: what is damaged there is refused. So is it where the flags do not say where the others are.</summary>
    public bool MayRejoin => options.InitialCluster.Count > 1;

    /// <summary>Locks it, and reads or draws the identity, flushed before it returns: it is what the first hello says.</summary>
    /// <exception cref="RaftException">CannotOpen or Corruption; the message says what to do.</exception>
    public static MemberDirectory Open(IFileSystem files, RaftNodeOptions options, ulong seed, Func<string, IDisposable> acquire)
    {
        var directory = new MemberDirectory(files, options, options.DataDirectory.TrimEnd('/'), seed, acquire);
        try
        {
            directory.Identify();
            return directory;
        }
        catch (IOException e)
        {
            directory.Dispose();
            throw new RaftException(RaftErrorCode.CannotOpen, $"The data directory {directory.path} cannot be used: {e.Message}.", inner: e);
        }
        catch
        {
            directory.Dispose();
            throw;
        }
    }

    /// <summary>Opens the log of a formed member. Null: it is damaged, and <see cref="Damage"/> says where.</summary>
    public RecoveredLog? OpenLog()
    {
        try
        {
            return DurableLog.Open(files, LogPath, new LogIdentity(Identity.ClusterId, Identity.Id), Draw(ref seed));
        }
        catch (CorruptionException damage) when (MayRejoin)
        {
            Suspect(damage);
            return null;
        }
    }

    /// <summary>What is in here must not be used, and the log is closed: from now on this directory only stands in (see above).</summary>
    public void Suspect(CorruptionException damage)
    {
        Damage = damage;
        Proposal = null;
        Restored = null;
        Starts = StartCount.None;
        Identity = NewIdentity();
    }

    /// <summary>A running member has learned that it has forgotten something; durable on return.</summary>
    public void MarkForgotten(string what) => ForgottenMark.Write(files, path, what);

    /// <summary>Puts the damaged directory aside and begins an empty one, with the identity that stood in for it. Returns where the old one is.</summary>
    /// <exception cref="RaftException">CannotOpen: it cannot be renamed, or another process took the place.</exception>
    public string SetAside()
    {
        // The old lock goes with the old directory and is held until the new one is ours.
        IDisposable old = hold;
        string aside;
        try
        {
            aside = DamagedDirectory.SetAside(path);
            hold = acquire(path);
        }
        catch (IOException e)
        {
            throw new RaftException(RaftErrorCode.CannotOpen,
                $"The data directory {path} is damaged and cannot be put aside: {e.Message}. Move what is in it away, and start the member again with an empty directory. {Damage!.Message}", inner: e);
        }
        old.Dispose();
        Identity.Write(files, path);
        Damage = null;
        return aside;
    }

    /// <summary>Writes a proposal down, flushed before it returns: it is what the next hello says.</summary>
    public void Propose(Configuration proposal)
    {
        ProposalFile.Write(files, path, Identity, proposal);
        Proposal = proposal;
    }

    /// <summary>The cluster is agreed: makes the log with the initial configuration as its base, and only then says in the identity that this member is formed.</summary>
    public RecoveredLog Form(Configuration initial) => Begin(
        Identity with { ClusterId = InitialConfiguration.ClusterId(initial, Identity.Token, Identity.Origin), ConfigurationHash = InitialConfiguration.ListHash(initial) },
        initial, Restored?.Start ?? default);

    /// <summary>The cluster has formed without this directory: it becomes a member, or one that is yet to be taken in, in the same two steps.</summary>
    public RecoveredLog Join(JoinDecision decision) => Begin(
        Identity with { Id = decision.Id, ClusterId = decision.ClusterId, ConfigurationHash = decision.ListHash, Origin = decision.Origin }, decision.Base, default);

    /// <summary>What is remembered of the peers.</summary>
    public PeerMemory ReadPeers(out string? trouble) => PeerMemory.Read(files, path, out trouble);

    /// <summary>Any thread, one at a time. Durable on return.</summary>
    public void WritePeers(byte[] encoded) => SmallFile.Replace(files, path, PeerMemory.FileName, encoded);

    public void Dispose() => hold.Dispose();

    private RecoveredLog Begin(MemberIdentity formed, Configuration first, LogStart start)
    {
        RecoveredLog log = DurableLog.Create(files, LogPath, new LogIdentity(formed.ClusterId, formed.Id), first, Draw(ref seed), start: start);
        try
        {
            formed.Write(files, path);
            Identity = formed;
            Proposal = null;
            Restored = null;
            Starts = StartCounter.Raise(files, path, formed, Process);
            return log;
        }
        catch
        {
            log.Log.Dispose();
            throw;
        }
    }

    private void Identify()
    {
        try
        {
            MemberIdentity? identity = MemberIdentity.Read(files, path);
            if (identity is null or { IsFormed: false }) Restored = RestoredFile.Require(files, path, identity);
            if (identity is null)
            {
                RequireEmpty(files, path);
                _ = InitialConfiguration.Of(options);
                identity = NewIdentity();
                identity.Write(files, path);
            }
            RequireOurs(identity, path, options);
            ForgottenMark.RequireNone(files, path);
            Identity = identity;
            if (identity.IsFormed) Starts = StartCounter.Raise(files, path, identity, Process);
            else Proposal = ProposalFile.Read(files, path, identity);
        }
        catch (CorruptionException damage) when (MayRejoin)
        {
            _ = InitialConfiguration.Of(options);
            Suspect(damage);
        }
    }

    private MemberIdentity NewIdentity() => new(InitialConfiguration.IdOf(options.ClusterToken, options.Name), Draw(ref seed), options.Name, options.ClusterToken, 0, 0);

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
