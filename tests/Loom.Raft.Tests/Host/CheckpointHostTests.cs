using Loom.Raft.Host;
using Loom.Raft.Replica;
using NUnit.Framework;

namespace Loom.Raft.Tests.Host;

/// <summary>Checkpoints by the applier's thread (N1, N3): when they are taken, and what becomes of a replica whose checkpoint fails or never ends.</summary>
public sealed class CheckpointHostTests
{
    private string root = "";

    [SetUp]
    public void SetUp() => root = Directory.CreateTempSubdirectory("loom-checkpoint-host-").FullName;

    [TearDown]
    public void TearDown() => Directory.Delete(root, recursive: true);

    [Test]
    public async Task A_checkpoint_is_taken_after_so_many_entries_and_at_a_clean_close()
    {
        Machine machine = new();
        RaftNode node = await OpenAsync(machine);
        for (int i = 0; i < 12; i++) await node.ProposeAsync(new byte[] { 1 }, RealCluster.Soon());
        await node.WaitAsync(s => s.CheckpointIndex >= 10, RealCluster.Soon());
        await node.ProposeAsync(new byte[] { 1 }, RealCluster.Soon());
        long applied = node.Status.AppliedIndex;
        await node.DisposeAsync();
        Assert.That(machine.Taken[^1].Index, Is.EqualTo(applied));
        Assert.That(machine.Taken.Select(at => at.Index), Is.Ordered.Ascending);
    }

    [Test]
    public async Task A_checkpoint_that_fails_ends_the_replica_and_none_is_taken_at_its_close()
    {
        Machine machine = new() { Answer = completed => completed(new IOException("no space left")) };
        RaftNode node = await OpenAsync(machine);
        for (int i = 0; i < 12 && node.Status.Failure is null; i++) await Swallow(async () => await node.ProposeAsync(new byte[] { 1 }, RealCluster.Soon()));
        await node.WaitAsync(s => s.Failure is not null, RealCluster.Soon());
        Assert.That(node.Status.Failure, Does.Contain("no space left"));
        int taken = machine.Taken.Count;
        await node.DisposeAsync();
        Assert.That(machine.Taken, Has.Count.EqualTo(taken));
    }

    // N3. Method: the clock is put forward by a minute.
    [Test]
    public async Task A_checkpoint_that_the_disk_does_not_finish_ends_the_replica()
    {
        Machine machine = new() { Answer = _ => { } };
        long ahead = 0;
        RaftNode node = await OpenAsync(machine, () => MonotonicClock.Nanoseconds + Volatile.Read(ref ahead));
        for (int i = 0; i < 12; i++) await node.ProposeAsync(new byte[] { 1 }, RealCluster.Soon());
        Assert.That(machine.Taken, Has.Count.EqualTo(1), "one at a time");
        Volatile.Write(ref ahead, 61_000_000_000);
        await node.WaitAsync(s => s.Failure is not null, RealCluster.Soon());
        Assert.That(node.Status.Failure, Does.Contain("is not on the disk after 60 s"));
        await node.DisposeAsync();
    }

    [Test]
    public async Task A_replica_whose_machine_threw_takes_no_checkpoint_at_its_close()
    {
        Machine machine = new();
        RaftNode node = await OpenAsync(machine);
        await node.ProposeAsync(new byte[] { 1 }, RealCluster.Soon());
        machine.List.OnApply = () => throw new InvalidOperationException("broken by the test");
        await Swallow(async () => await node.ProposeAsync(new byte[] { 1 }, RealCluster.Soon()));
        await node.DisposeAsync();
        Assert.That(machine.Taken, Is.Empty, "its state may be half of an entry");
    }

    [Test]
    public async Task A_directory_in_which_the_machine_may_still_write_stays_locked()
    {
        Machine machine = new() { OnClose = () => throw new IOException("a thread hangs in the disk") };
        RaftNode node = await OpenAsync(machine);
        await node.DisposeAsync();
        Assert.That(() => OpenAsync(new Machine()), Throws.InstanceOf<RaftException>().With.Property("Code").EqualTo(RaftErrorCode.CannotOpen));
    }

    private async Task<RaftNode> OpenAsync(Machine machine, Func<long>? now = null)
    {
        HostSettings settings = RaftNode.SettingsFor(new RaftNodeOptions { DataDirectory = root, SnapshotCount = 10 }, 7);
        RaftNode node = await RaftNode.OpenAsync(now is null ? settings : settings with { Now = now }, machine);
        await node.WaitForLeaderAsync(RealCluster.Soon());
        return node;
    }

    private static async Task Swallow(Func<Task> call)
    {
        try
        {
            await call();
        }
        catch (RaftException)
        {
            // It may be the one that failed.
        }
    }

    private sealed class Machine : IReplicatedStateMachine
    {
        public ListMachine List { get; } = new();

        public List<StatePosition> Taken { get; } = [];

        public Action<Action<Exception?>> Answer { get; init; } = completed => completed(null);

        public bool BeginCheckpoint(StatePosition at, Action<Exception?> completed)
        {
            Taken.Add(at);
            Answer(completed);
            return true;
        }

        public StateCheckpoint? Open(StateOrigin origin) => List.Open(origin);

        public void ApplyBatch(ReadOnlySpan<CommittedEntry> entries, Span<ApplyResult> results) => List.ApplyBatch(entries, results);

        public IStateSnapshot CaptureSnapshot(StatePosition at) => List.CaptureSnapshot(at);

        public IStateInstallation BeginInstall(StatePosition at, ReadOnlyMemory<byte> header) => List.BeginInstall(at, header);

        public void Switch(IStateInstallation installation) => List.Switch(installation);

        public void Condemn() => List.Condemn();

        public Action? OnClose { get; init; }

        public void Close()
        {
            OnClose?.Invoke();
            List.Close();
        }
    }
}
