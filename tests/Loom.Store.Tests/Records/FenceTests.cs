using Loom.Store.Records;
using NUnit.Framework;

namespace Loom.Store.Tests.Records;

/// <summary>H8: what is appended after a checkpoint was begun is not in it. FASTER itself lets it in as long as a reader is inside of it.</summary>
internal sealed class FenceTests
{
    private string root = "";

    [SetUp]
    public void SetUp() => root = Directory.CreateTempSubdirectory("loom-fence-").FullName;

    [TearDown]
    public void TearDown() => Directory.Delete(root, recursive: true);

    // Method: a reader stays inside of FASTER while the checkpoint begins and the applier goes on at once. Without the fence the records after it are in the files of the checkpoint, which then is none.
    [Test]
    public void What_is_appended_after_a_checkpoint_was_begun_is_not_in_it()
    {
        using (CheckpointDirectory live = new(root))
        {
            live.ApplyMixed(500);
            using ManualResetEventSlim inside = new(), leave = new();
            Thread reader = new(() => live.Records.ActInside(() =>
            {
                inside.Set();
                leave.Wait();
            }));
            Thread applier = new(() =>
            {
                Task<Exception?> done = live.BeginCheckpoint().Task;
                live.ApplyMixed(800);
                Assert.That(done.GetAwaiter().GetResult(), Is.Null);
            });
            reader.Start();
            inside.Wait();
            applier.Start();
            Thread.Sleep(200);
            leave.Set();
            applier.Join();
            reader.Join();
        }

        using CheckpointDirectory again = new(root);
        using CheckpointDirectory unbroken = new(Path.Combine(root, "unbroken"));
        unbroken.ApplyMixed(500);
        Assert.That(again.Index, Is.EqualTo(500));
        Assert.That(again.Answers(), Is.EqualTo(unbroken.Answers()));
    }

    [Test]
    public void A_checkpoint_that_FASTER_does_not_begin_ends_the_store()
    {
        RecordStoreOptions options = new() { IndexBytes = 1 << 20, MemoryBytes = 16 << 20, PageBytes = 4 << 20, SegmentBytes = 4 << 20, FenceMilliseconds = 200 };
        using CheckpointDirectory live = new(root, options: options);
        live.ApplyMixed(10);
        using ManualResetEventSlim inside = new(), leave = new();
        Thread reader = new(() => live.Records.ActInside(() =>
        {
            inside.Set();
            leave.Wait();
        }));
        reader.Start();
        inside.Wait();
        Assert.That(() => live.BeginCheckpoint(), Throws.InstanceOf<TimeoutException>());
        Assert.That(() => live.Put(1), Throws.InstanceOf<LoomException>().With.Property("Code").EqualTo(LoomErrorCode.Failed));
        leave.Set();
        reader.Join();
    }
}
