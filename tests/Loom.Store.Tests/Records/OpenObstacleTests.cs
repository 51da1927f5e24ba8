using Loom.Raft;
using Loom.Raft.Log;
using Loom.Store.Records;
using NUnit.Framework;

namespace Loom.Store.Tests.Records;

/// <summary>What cannot be read now is not damage: nothing is given up for it.</summary>
internal sealed class OpenObstacleTests
{
    private string root = "";

    private string Live => Path.Combine(root, "live");

    [SetUp]
    public void SetUp() => root = Directory.CreateTempSubdirectory("loom-obstacle-").FullName;

    [TearDown]
    public void TearDown() => Directory.Delete(root, recursive: true);

    // Method: in the place of a file stands a link to itself, which the system refuses to open (ELOOP) as it does with too many open files. The log begins after the start: taken for damage, the state would be given up.
    [TestCase("checkpoint-*", 0)]
    [TestCase("checkpoint-*", 500)]
    [TestCase("hlog.log.0", 0)]
    [TestCase("hlog.log.0", 500)]
    public void A_file_that_cannot_be_opened_now_ends_the_start_and_nothing_is_changed(string pattern, long logBase)
    {
        List<string> answers;
        using (CheckpointDirectory live = new(Live))
        {
            live.ApplyMixed(1_000);
            live.Checkpoint();
            answers = live.Answers();
        }

        string file = Directory.GetFiles(Live, pattern, SearchOption.AllDirectories).Single(), aside = Path.Combine(root, "aside");
        File.Move(file, aside);
        File.CreateSymbolicLink(file, file);
        string[] before = Directory.GetFileSystemEntries(Live, "*", SearchOption.AllDirectories);
        Assert.That(
            () => new CheckpointDirectory(Live, CheckpointDirectory.Origin(logBase)).Dispose(),
            Throws.TypeOf<RaftException>().With.Property("Code").EqualTo(RaftErrorCode.CannotOpen).And.Message.Contains("This is no damage, so no state was given up").And.Message.Contains(Path.GetFileName(file)));
        Assert.That(Directory.GetFileSystemEntries(Live, "*", SearchOption.AllDirectories), Is.EquivalentTo(before));
        File.Delete(file);
        File.Move(aside, file);
        using CheckpointDirectory again = new(Live, CheckpointDirectory.Origin(logBase));
        Assert.That((again.Opened?.At.Index, again.Answers()), Is.EqualTo(((long?)1_000, answers)));
    }

    [TestCase(24, true, TestName = "EMFILE")]
    [TestCase(12, true, TestName = "ENOMEM")]
    [TestCase(28, true, TestName = "ENOSPC")]
    [TestCase(30, true, TestName = "EROFS")]
    [TestCase(5, false, TestName = "EIO")]
    [TestCase(74, false, TestName = "EBADMSG")]
    [TestCase(117, false, TestName = "EUCLEAN")]
    public void An_error_of_the_system_is_an_obstacle_unless_it_says_that_bytes_are_gone(int errno, bool isObstacle)
    {
        IOException error = new("", errno);
        Assert.That(OpenObstacle.Of(error) is not null, Is.EqualTo(isObstacle));
        Assert.That(OpenObstacle.Of(new LoomException(LoomErrorCode.Failed, "", WriteOutcome.Unknown, new IOException("read", error))) is not null, Is.EqualTo(isObstacle), "as the device reports it");
    }

    [Test]
    public void Permissions_and_space_are_obstacles_and_a_missing_file_or_our_own_finding_is_damage()
    {
        Assert.That(OpenObstacle.Of(new UnauthorizedAccessException()), Is.Not.Null);
        Assert.That(OpenObstacle.Of(new NoSpaceException("")), Is.Not.Null);
        Assert.That(OpenObstacle.Of(new FileNotFoundException()), Is.Null);
        Assert.That(OpenObstacle.Of(new CheckpointDamagedException("", 0, "")), Is.Null);
        Assert.That(OpenObstacle.Of(new IOException("of our own")), Is.Null);
    }
}
