using Loom.Raft.Consensus;
using Loom.Raft.Replica;
using Loom.Store.Applying;
using Loom.Store.Commands;
using Loom.Store.Model;
using Loom.Store.Mvcc;
using Loom.Testing;
using NUnit.Framework;

namespace Loom.Store.Tests.Applying;

/// <summary>
/// Goal: whatever an entry changes is in the hash that members compare (S5), or a member that changed it otherwise is not found out. Method: two machines do two different things of one kind that answer alike.
/// </summary>
internal sealed class BatchHashTests
{
    private static readonly (string What, Command One, Command Other)[] Pairs =
    [
        ("a value", new PutCommand(new PutOperation("k"u8.ToArray(), "v"u8.ToArray())), new PutCommand(new PutOperation("k"u8.ToArray(), "w"u8.ToArray()))),
        ("a lease's time", new LeaseGrantCommand(7, 60), new LeaseGrantCommand(7, 61)),
        ("an alarm's member", new AlarmCommand(true, new Alarm(AlarmKind.LowDisk, 1)), new AlarmCommand(true, new Alarm(AlarmKind.LowDisk, 2))),
        ("a password", new UserAddCommand("ann", "one"u8.ToArray(), true), new UserAddCommand("ann", "other"u8.ToArray(), true)),
        ("a role's name", new RoleCommand(true, "r"), new RoleCommand(true, "s")),
    ];

    [Test]
    public void What_an_entry_changes_is_in_its_hash()
    {
        foreach ((string what, Command one, Command other) in Pairs)
        {
            ApplyResult first = Apply(one), second = Apply(other);
            Assert.That((first.Outcome.Code, second.Outcome), Is.EqualTo((0, first.Outcome)), what + ": not what is under test");
            Assert.That(second.Hash, Is.Not.EqualTo(first.Hash), what);
            Assert.That(Apply(one).Hash, Is.EqualTo(first.Hash), what);
        }
    }

    private static ApplyResult Apply(Command command)
    {
        using var machine = new LoomStateMachine(new KeyIndex(), new MemoryRecordStore());
        machine.Open(default);
        var results = new ApplyResult[1];
        machine.ApplyBatch([new CommittedEntry(1, 1, 1_000, EntryKind.Command, CommandWriter.Encode(command), true)], results);
        return results[0];
    }
}
