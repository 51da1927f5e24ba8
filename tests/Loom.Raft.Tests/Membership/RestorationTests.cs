using Loom.Raft.Consensus;
using Loom.Raft.Log;
using Loom.Raft.Membership;
using Loom.Raft.Proposals;
using Loom.Raft.Replica;
using Loom.Raft.Sessions;
using NUnit.Framework;

namespace Loom.Raft.Tests.Membership;

/// <summary>Data directories that are made of a snapshot: what a start finds in them, at each step.</summary>
internal sealed class RestorationTests
{
    private string path = "";

    [SetUp]
    public void Name() => path = Path.Combine(Path.GetTempPath(), "loom-restoration-" + Path.GetRandomFileName());

    [TearDown]
    public void Delete()
    {
        if (Directory.Exists(path)) Directory.Delete(path, recursive: true);
    }

    [Test]
    public void A_restored_directory_forms_with_its_own_list_behind_the_snapshot()
    {
        using (RaftRestoration restoration = Begin())
        {
            Assert.That((restoration.At.Index, restoration.At.Term), Is.EqualTo((41L, 6L)));
            restoration.Complete();
        }

        using MemberDirectory directory = Open();
        Assert.That(directory.Restored!.Start, Is.EqualTo(new LogStart(41, 6, 5_000)));
        Assert.That(directory.ProposedList!.Members.Select(m => m.Name), Is.EquivalentTo((string[])["a", "b"]), "whatever the flags say: they list nobody here");
        RecoveredLog log = directory.Form(directory.ProposedList);
        Assert.That((log.Log.BaseIndex, log.HardState.Term, log.LastClusterTime), Is.EqualTo((41L, 6L, 5_000L)));
        log.Log.Dispose();
        MemberIdentity identity = directory.Identity;
        Assert.That(identity.Origin, Is.Not.Zero);
        Assert.That(identity.ClusterId, Is.EqualTo(InitialConfiguration.ClusterId(log.Configurations[0].Configuration, "loom-cluster", identity.Origin)));
    }

    /// <summary>P1: a session of the old cluster is unknown, so what its members have still under way is refused.</summary>
    [Test]
    public void A_retry_of_the_old_cluster_is_refused()
    {
        using RaftRestoration restoration = Begin();
        var sessions = new SessionTable();
        (UInt128 hash, long time) = AppliedSection.Decode(restoration.At.Section.Span, sessions);
        Assert.That((hash, time, sessions.Count), Is.EqualTo(((UInt128)77, 5_000L, 0)));
        Assert.That(sessions.Decide(42, 6_000, new ProposalId(3, 1), 1).Verdict, Is.EqualTo(SessionVerdict.SessionExpired));
    }

    /// <summary>A restore that was killed, before and after it wrote the identity: nobody starts from it as from an empty directory.</summary>
    [TestCase(false)]
    [TestCase(true)]
    public void A_start_after_a_restore_that_did_not_finish_is_refused(bool afterIdentity)
    {
        string killed = path + "-killed";
        using (RaftRestoration restoration = Begin())
        {
            if (afterIdentity) restoration.Complete();
            Directory.CreateDirectory(killed);
            foreach (string file in Directory.EnumerateFiles(path).Where(f => !f.EndsWith("lock", StringComparison.Ordinal))) File.Copy(file, Path.Combine(killed, Path.GetFileName(file)));
            if (afterIdentity)
            {
                RestoredFile whole = RestoredFile.Read(PosixFileSystem.Instance, killed)!;
                whole.Write(PosixFileSystem.Instance, killed, whole: false);
            }
        }

        try
        {
            RaftException refusal = Assert.Throws<RaftException>(() => Open(killed))!;
            Assert.That(refusal.Message, Does.Contain("did not finish").And.Contain("restore it again"));
            Assert.That(RaftRestoration.IsFree(killed), Is.False);
        }
        finally
        {
            Directory.Delete(killed, recursive: true);
        }
    }

    [Test]
    public void What_fails_on_the_way_leaves_the_directory_free_again()
    {
        using (RaftRestoration restoration = Begin())
        {
            Directory.CreateDirectory(Path.Combine(path, "records", "g-1"));
            Assert.That(RaftRestoration.IsFree(path), Is.False);
        }

        Assert.That(RaftRestoration.IsFree(path), Is.True);

        // As one leaves it that dies before its mark has its name.
        File.WriteAllText(Path.Combine(path, "restored.tmp"), "a part");
        Assert.That(RaftRestoration.IsFree(path), Is.True);
        using RaftRestoration again = Begin();
        again.Complete();
    }

    [Test]
    public void A_directory_that_holds_something_or_is_in_use_is_refused()
    {
        Directory.CreateDirectory(path);
        File.WriteAllText(Path.Combine(path, "letter"), "Dear");
        Assert.That(Assert.Throws<RaftException>(() => Begin())!.Message, Does.Contain("is not empty (letter)"));
        File.Delete(Path.Combine(path, "letter"));
        using IDisposable other = DirectoryLock.Acquire(path);
        Assert.That(Assert.Throws<RaftException>(() => Begin())!.Message, Does.Contain("already in use by another process"));
    }

    private RaftRestoration Begin()
    {
        var options = new RaftNodeOptions
        {
            Name = "a",
            DataDirectory = path,
            InitialCluster = [new InitialMember("a", "east", MemberRole.Voter, ["http://a:2380"]), new InitialMember("b", "west", MemberRole.Voter, ["http://b:2380"])],
        };
        return RaftRestoration.Begin(options, Snapshot(), new byte[32], 5);
    }

    /// <summary>With a session that has proposals under way.</summary>
    private static RaftSnapshotDescription Snapshot()
    {
        var sessions = new SessionTable();
        sessions.Open(3, 4_000, default);
        Assert.That(sessions.Decide(40, 5_000, new ProposalId(3, 1), 1).Verdict, Is.EqualTo(SessionVerdict.Apply));
        sessions.Record(new ProposalId(3, 1), default);
        return new RaftSnapshotDescription
        {
            Id = 1,
            ClusterId = 0xC1,
            Source = new MemberId(9),
            At = new StatePosition(41, 6, AppliedSection.Encode(77, 5_000, sessions)),
            Configuration = new Configuration(PlacementGoal.Majority, [new Member(new MemberId(9), 1, "old", "old", MemberRole.Voter, [], [])], []),
            Header = default,
        };
    }

    private MemberDirectory Open(string? directory = null) =>
        MemberDirectory.Open(PosixFileSystem.Instance, new RaftNodeOptions { Name = "a", DataDirectory = directory ?? path }, 7, DirectoryLock.Acquire);
}
