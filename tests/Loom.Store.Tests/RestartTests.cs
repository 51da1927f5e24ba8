using System.Globalization;
using System.Text;
using Loom.Raft;
using Loom.Raft.Membership;
using Loom.Testing;
using NUnit.Framework;

namespace Loom.Store.Tests;

/// <summary>Members that come back: what a local read shows before any peer has been heard.</summary>
internal sealed class RestartTests
{
    private const int Keys = 3000;
    private string root = "";

    [SetUp]
    public void CreateRoot() => root = Directory.CreateTempSubdirectory("loom-restart-").FullName;

    [TearDown]
    public void DeleteRoot() => Directory.Delete(root, recursive: true);

    [Test]
    public async Task A_member_that_comes_back_alone_reads_locally_what_it_knew_to_be_committed()
    {
        InitialMember[] members = [.. FreePorts.Take(2).Select((port, i) => new InitialMember($"m{i}", $"dc{i}", MemberRole.Voter, [$"http://127.0.0.1:{port}"]))];
        LoomStore first = await LoomStore.OpenAsync(Options(members, 0));
        LoomStore second = await LoomStore.OpenAsync(Options(members, 1));
        await Task.WhenAll(Enumerable.Range(0, Keys).Select(i => first.PutAsync(Key(i), Key(i)).AsTask()));
        // What is known to be committed is saved with the next append.
        await second.PutAsync(Key(Keys), Key(Keys));
        await second.PutAsync(Key(Keys + 1), Key(Keys + 1));
        await first.DisposeAsync();
        await second.DisposeAsync();

        await using LoomStore alone = await LoomStore.OpenAsync(Options(members, 0));
        int found = Enumerable.Range(0, Keys).Count(i => alone.Get(Key(i)) is not null);
        Assert.That(found, Is.EqualTo(Keys));
    }

    /// <summary>S4: an empty state that is nobody's must not look like one in which nothing was ever written.</summary>
    [Test]
    public async Task A_member_answers_no_read_before_it_has_found_its_cluster()
    {
        InitialMember[] members = [.. FreePorts.Take(3).Select((port, i) => new InitialMember($"m{i}", $"dc{i}", MemberRole.Voter, [$"http://127.0.0.1:{port}"]))];
        LoomStore lost = await LoomStore.OpenAsync(Options(members, 0));
        Assert.That(() => lost.Get(Key(0)), Throws.InstanceOf<LoomException>().With.Property("Code").EqualTo(LoomErrorCode.StateAwaited));
        Assert.That(() => lost.Range(new Model.RangeQuery(Model.KeyRange.All)), Throws.InstanceOf<LoomException>().With.Property("Code").EqualTo(LoomErrorCode.StateAwaited));
        await using LoomStore second = await LoomStore.OpenAsync(Options(members, 1));
        await using LoomStore third = await LoomStore.OpenAsync(Options(members, 2));
        await second.PutAsync(Key(0), Key(0));
        await lost.ReadBarrierAsync();
        Assert.That(lost.Get(Key(0)), Is.Not.Null);

        // Its directory is emptied: what it answers first has what was there.
        await lost.DisposeAsync();
        Directory.Delete(Path.Combine(root, "m0"), recursive: true);
        await using LoomStore again = await LoomStore.OpenAsync(Options(members, 0));
        int refused = 0;
        for (long deadline = Environment.TickCount64 + 60_000; ; refused++)
        {
            try
            {
                Assert.That(again.Get(Key(0)), Is.Not.Null, "an empty state was served");
                break;
            }
            catch (LoomException exception) when (exception.Code == LoomErrorCode.StateAwaited && Environment.TickCount64 < deadline)
            {
                await Task.Delay(5);
            }
        }

        Assert.That(refused, Is.GreaterThan(0));
    }

    // Goal: a process that died after some checkpoints goes on from the newest one, with everything that was acknowledged. Method: a copy of the directory of a running store is opened.
    [Test]
    public async Task A_store_that_died_goes_on_from_its_newest_checkpoint()
    {
        LoomOptions options = new() { DataDirectory = Path.Combine(root, "live"), SnapshotCount = 400 };
        await using LoomStore live = await LoomStore.OpenAsync(options);
        for (int round = 0; round < 5; round++)
        {
            await Task.WhenAll(Enumerable.Range(0, Keys / 3).Select(i => live.PutAsync(Key(i), Key(i + round)).AsTask()));
        }

        long deadline = Environment.TickCount64 + 20_000;
        while (live.Status.Raft.CheckpointIndex < 4_000 && Environment.TickCount64 < deadline)
        {
            await Task.Delay(20);
        }

        long before = live.Status.Raft.CheckpointIndex;
        Assert.That(before, Is.GreaterThanOrEqualTo(4_000));
        Records.CheckpointDirectory.CopyAtRest(options.DataDirectory, Path.Combine(root, "copy"));
        await using LoomStore again = await LoomStore.OpenAsync(new LoomOptions { DataDirectory = Path.Combine(root, "copy") });
        Assert.That(Enumerable.Range(0, Keys / 3).Count(i => again.Get(Key(i)) is { } pair && pair.Value.Span.SequenceEqual(Key(i + 4)) && pair.Version == 5), Is.EqualTo(Keys / 3));

        // One more checkpoint may have been on its way while the directory was copied.
        Assert.That(again.Status.Raft.CheckpointIndex, Is.InRange(before, live.Status.Raft.AppliedIndex));
        Assert.That(again.Status.Raft.AppliedIndex, Is.GreaterThanOrEqualTo(again.Status.Raft.CheckpointIndex));
    }

    // Goal: a store whose process died opens on a disk that has no room for all of its log, with what fits, says so, and goes on when there is room (S6). Method: the directory of a running store, opened
    // where the records get one page.
    [Test]
    public async Task A_store_opens_on_a_full_disk_with_what_goes_in()
    {
        const int Large = 60;
        LoomOptions options = new() { DataDirectory = Path.Combine(root, "live") };
        await using LoomStore live = await LoomStore.OpenAsync(options);
        for (int i = 0; i < Large; i++)
        {
            await live.PutAsync(Key(i), new byte[100_000]);
        }

        Records.CheckpointDirectory.CopyAtRest(options.DataDirectory, Path.Combine(root, "copy"));
        bool full = true;
        await using LoomStore again = await LoomStore.OpenAsync(new LoomOptions
        {
            DataDirectory = Path.Combine(root, "copy"),
            BeforeAllocateRecords = end => _ = Volatile.Read(ref full) && end > 4 << 20 ? throw new Raft.Log.NoSpaceException("No space left on device") : end,
        });
        int found = Enumerable.Range(0, Large).Count(i => again.Get(Key(i)) is not null);
        Assert.That((found, again.Status.Raft.ApplyPause), Is.EqualTo((again.Status.Revision.Number - 1, "No space left on device")));
        Assert.That(found, Is.InRange(Large / 4, Large - 1));
        Volatile.Write(ref full, false);
        await again.ReadBarrierAsync();
        Assert.That(Enumerable.Range(0, Large).Count(i => again.Get(Key(i)) is not null), Is.EqualTo(Large));
    }

    [Test]
    public async Task A_store_that_was_closed_has_nothing_to_replay()
    {
        LoomOptions options = new() { DataDirectory = Path.Combine(root, "live") };
        long last;
        await using (LoomStore first = await LoomStore.OpenAsync(options))
        {
            await Task.WhenAll(Enumerable.Range(0, Keys).Select(i => first.PutAsync(Key(i), Key(i)).AsTask()));
            last = first.Status.Raft.AppliedIndex;
        }

        await using LoomStore again = await LoomStore.OpenAsync(options);
        Assert.That(again.Status.Raft.CheckpointIndex, Is.EqualTo(last));
        Assert.That(Enumerable.Range(0, Keys).Count(i => again.Get(Key(i)) is not null), Is.EqualTo(Keys));
    }

    private LoomOptions Options(InitialMember[] members, int self) => new()
    {
        Name = members[self].Name,
        DataDirectory = Path.Combine(root, members[self].Name),
        InitialCluster = members,
        ListenPeerUrls = members[self].PeerUrls,
    };

    private static byte[] Key(int number) => Encoding.ASCII.GetBytes(number.ToString("d6", CultureInfo.InvariantCulture));
}
