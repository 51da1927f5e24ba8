using Loom.Raft.Log;

namespace Loom.Raft.Membership;

/// <summary>Reads everything of a data directory that is Raft's, as an open would, and changes nothing. Goes on after a finding: the others are worth knowing, too.</summary>
internal sealed class DirectoryExamination
{
    private readonly IFileSystem files;
    private readonly string path;
    private readonly List<RaftException> faults = [];
    private RaftDirectoryReport report = new();

    private DirectoryExamination(IFileSystem files, string path)
    {
        this.files = files;
        this.path = path;
    }

    private string LogPath => $"{path}/raft";

    /// <summary>Whether anything of a member is there.</summary>
    public static bool IsDataDirectory(IFileSystem files, string path) =>
        files.FileExists($"{path}/{MemberIdentity.FileName}") || files.FileExists($"{path}/{ProposalFile.FileName}") || files.FileExists($"{path}/{RestoredFile.FileName}")
        || files.ListFiles($"{path}/raft").Count > 0;

    public static RaftDirectoryReport Run(IFileSystem files, string path)
    {
        var examination = new DirectoryExamination(files, path);
        examination.Run();
        return examination.report with { Faults = examination.faults };
    }

    private void Run()
    {
        MemberIdentity? identity = null;
        Guard(() => identity = ReadIdentity());
        Guard(() => ForgottenMark.RequireNone(files, path));
        if (identity is { IsFormed: false })
        {
            // A log beside an identity that is not formed is one whose making was interrupted: the next start removes it.
            Guard(() => ReadProposal(identity));
            Guard(() => ReadRestored(identity));
            return;
        }
        Guard(() => ReadLog(identity));
        if (identity is null) return;
        Guard(() => StartCounter.Read(files, path, identity));
        Guard(ReadPeers);
    }

    /// <summary>A start does without it, and only notices less.</summary>
    private void ReadPeers()
    {
        _ = PeerMemory.Read(files, path, out string? trouble);
        if (trouble is not null) report = report with { Dispensable = [trouble] };
    }

    private void ReadRestored(MemberIdentity identity)
    {
        if (RestoredFile.Require(files, path, identity) is { } restored)
            report = report with { RestoredFrom = Convert.ToHexStringLower(restored.Hash.Span), RestoredIndex = restored.Start.Index };
    }

    private MemberIdentity ReadIdentity()
    {
        MemberIdentity identity = MemberIdentity.Read(files, path) ?? throw MemberIdentity.Missing(path);
        report = report with { Name = identity.Name, Token = identity.Token, MemberId = identity.Id, ClusterId = identity.ClusterId };
        return identity;
    }

    private void ReadProposal(MemberIdentity identity)
    {
        if (ProposalFile.Read(files, path, identity) is { } proposal) report = report with { Proposed = [.. proposal.Members.Select(m => m.Name)] };
    }

    /// <summary>Without an identity the log's own word is taken for whose it is: then what is left of it is known at least.</summary>
    private void ReadLog(MemberIdentity? identity)
    {
        using SyncedEnd synced = SyncedEnd.Open(files, LogPath, identity is null ? null : new LogIdentity(identity.ClusterId, identity.Id));
        LogRecovery log = LogRecovery.Scan(files, LogPath, synced.Identity!.Value, synced.Position, int.MaxValue);
        log.AcceptUnproven();
        Configuration current = log.State.DecodeConfigurations()[^1].Configuration;
        report = report with
        {
            Log = new RaftLogReport
            {
                Segments = log.Segments.Count,
                Bytes = log.Segments.Sum(segment => segment.Bytes),
                BaseIndex = log.State.BaseIndex,
                LastIndex = log.State.LastIndex,
                Term = log.State.HardState.Term,
                CommitHint = Math.Min(log.State.CommitHint, log.State.LastIndex),
                Configuration = current,
                TermAt = log.Terms.TermAt,
            },
        };
    }

    private void Guard(Action read)
    {
        try
        {
            read();
        }
        catch (RaftException e)
        {
            faults.Add(e);
        }
        catch (Exception e) when (e is IOException or InvalidDataException)
        {
            faults.Add(new RaftException(RaftErrorCode.Corruption, $"{path} cannot be read: {e.Message}", inner: e));
        }
    }
}
