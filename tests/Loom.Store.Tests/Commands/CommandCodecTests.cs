using CsCheck;
using Loom.Store.Commands;
using Loom.Store.Model;
using NUnit.Framework;

namespace Loom.Store.Tests.Commands;

internal sealed class CommandCodecTests
{
    private static readonly Gen<byte[]> Bytes = Gen.Byte.Array[0, 40];
    private static readonly Gen<KeyRange> Ranges = Gen.Select(Bytes, Bytes, (start, end) => new KeyRange(start, end));

    private static readonly Gen<PutOperation> Puts = Gen.Select(Bytes, Bytes, Gen.Long, Gen.Int[0, 7], (key, value, lease, flags) =>
        new PutOperation(key, value) { Lease = lease, PreviousPair = (flags & 1) != 0, IgnoreValue = (flags & 2) != 0, IgnoreLease = (flags & 4) != 0 });

    private static readonly Gen<DeleteOperation> Deletes = Gen.Select(Ranges, Gen.Bool, (range, previous) => new DeleteOperation(range) { PreviousPairs = previous });

    private static readonly Gen<RangeQuery> Queries = Gen.Select(Ranges, Gen.Long.Array[6], Gen.Byte, Gen.Byte, Gen.Bool, Gen.Bool, (range, numbers, order, target, keys, count) =>
        new RangeQuery(range)
        {
            Limit = numbers[0],
            Revision = numbers[1],
            MinModRevision = numbers[2],
            MaxModRevision = numbers[3],
            MinCreateRevision = numbers[4],
            MaxCreateRevision = numbers[5],
            SortOrder = (SortOrder)order,
            SortTarget = (SortTarget)target,
            KeysOnly = keys,
            CountOnly = count,
        });

    private static readonly Gen<Compare> Compares = Gen.Select(Ranges, Gen.Int, Gen.Int, Gen.Long, Bytes, (range, target, result, number, value) =>
        new Compare(range, (CompareTarget)target, (CompareResult)result, number, value));

    private static Gen<Operation> Operations(int depth) => depth == 0
        ? Gen.OneOf(Puts.Select(put => (Operation)put), Deletes.Select(delete => (Operation)delete), Queries.Select(query => (Operation)new RangeOperation(query)))
        : Gen.OneOf(Operations(0), Transactions(depth - 1).Select(nested => (Operation)new NestedOperation(nested)));

    private static Gen<Transaction> Transactions(int depth) => Gen.Select(
        Compares.Array[0, 3], Operations(depth).Array[0, 3], Operations(depth).Array[0, 3], (compares, success, failure) => new Transaction(compares, success, failure));

    private static readonly Gen<string> Names = Gen.String[0, 30];
    private static readonly Gen<Permission> Permissions = Gen.Select(Ranges, Gen.Int[0, 2], (range, kind) => new Permission((PermissionKind)kind, range));

    private static readonly Gen<Command> AuthCommands = Gen.OneOf(
        Gen.Bool.Select(enables => (Command)new AuthSwitchCommand(enables)),
        Gen.Select(Names, Bytes, Gen.Bool, (name, hash, has) => (Command)new UserAddCommand(name, hash, has)),
        Names.Select(name => (Command)new UserDeleteCommand(name)),
        Gen.Select(Names, Bytes, (name, hash) => (Command)new UserPasswordCommand(name, hash)),
        Gen.Select(Names, Names, Gen.Bool, (user, role, grants) => (Command)new UserRoleCommand(grants, user, role)),
        Gen.Select(Names, Gen.Bool, (role, adds) => (Command)new RoleCommand(adds, role)),
        Gen.Select(Names, Permissions, Gen.Bool, (role, permission, grants) => (Command)new RolePermissionCommand(grants, role, permission)),
        Gen.Select(Names, Gen.Byte.Array[32], Gen.Long, (user, digest, revision) => (Command)new AuthenticateCommand(user, digest, revision)));

    private static readonly Gen<Command> OwnCommand = Gen.OneOf(
        AuthCommands,
        Puts.Select(put => (Command)new PutCommand(put)),
        Deletes.Select(delete => (Command)new DeleteCommand(delete)),
        Transactions(3).Select(transaction => (Command)new TransactionCommand(transaction)),
        Gen.Long.Select(revision => (Command)new CompactCommand(revision)),
        Gen.Select(Gen.Long, Gen.Long, (id, seconds) => (Command)new LeaseGrantCommand(id, seconds)),
        Gen.Long.Select(id => (Command)new LeaseRevokeCommand(id)),
        Gen.Long.Array[0, 20].Select(ids => (Command)new LeaseRenewCommand([.. ids.Distinct().Order()])),
        Gen.Select(Gen.Long, Gen.Long.Array[0, 20], (term, ids) => (Command)new LeaseExpireCommand(term, [.. ids.Distinct().Order()])),
        Gen.Select(Gen.Int[1, 3], Gen.ULong, Gen.Bool, Gen.Bool, (kind, member, automatic, raises) => (Command)new AlarmCommand(raises, new Alarm((AlarmKind)kind, member, automatic))));

    private static readonly Gen<Command> AnyCommand = Gen.Select(OwnCommand, Gen.Bool, Names, Gen.Long, (command, isCallers, user, revision) =>
        isCallers ? command with { Caller = new Caller(user, revision) } : command);

    [Test]
    public void Every_command_survives_its_bytes_and_has_one_form() => AnyCommand.Sample(
        command =>
        {
            byte[] bytes = CommandWriter.Encode(command);
            Command decoded = CommandReader.Decode(bytes);

            // The writer looks at every field, so equal bytes mean that nothing was lost on the way.
            return decoded.GetType() == command.GetType() && CommandWriter.Encode(decoded).AsSpan().SequenceEqual(bytes);
        },
        iter: 3000,
        threads: 1);

    [Test]
    public void The_fields_of_a_put_arrive()
    {
        var put = new PutOperation(new byte[] { 1 }, new byte[] { 2, 3 }) { Lease = -7, IgnoreLease = true };
        PutOperation decoded = ((PutCommand)CommandReader.Decode(CommandWriter.Encode(new PutCommand(put)))).Put;
        using (Assert.EnterMultipleScope())
        {
            Assert.That(decoded.Key.ToArray(), Is.EqualTo(new byte[] { 1 }));
            Assert.That(decoded.Value.ToArray(), Is.EqualTo(new byte[] { 2, 3 }));
            Assert.That(decoded.Lease, Is.EqualTo(-7));
            Assert.That((decoded.PreviousPair, decoded.IgnoreValue, decoded.IgnoreLease), Is.EqualTo((false, false, true)));
        }
    }

    [Test]
    public void The_bytes_of_a_put_are_these() => Assert.That(
        Convert.ToHexString(CommandWriter.Encode(new PutCommand(new PutOperation("k"u8.ToArray(), "v"u8.ToArray())))),
        Is.EqualTo("93010194" + "00" + "C4016B" + "C40176" + "00"));

    [Test]
    public void The_bytes_of_the_lease_commands_are_these()
    {
        Assert.That(Convert.ToHexString(CommandWriter.Encode(new LeaseGrantCommand(5, 60))), Is.EqualTo("930105" + "92" + "05" + "3C"));
        Assert.That(Convert.ToHexString(CommandWriter.Encode(new LeaseRevokeCommand(-1))), Is.EqualTo("930106" + "91" + "FF"));
        Assert.That(Convert.ToHexString(CommandWriter.Encode(new LeaseRenewCommand([1, 2]))), Is.EqualTo("930107" + "92" + "01" + "02"));
        Assert.That(Convert.ToHexString(CommandWriter.Encode(new LeaseExpireCommand(3, []))), Is.EqualTo("930108" + "92" + "03" + "90"));
    }

    [Test]
    public void The_bytes_of_a_callers_command_and_of_those_for_users_are_these()
    {
        Assert.That(Convert.ToHexString(CommandWriter.Encode(new LeaseRevokeCommand(-1) { Caller = new Caller("ann", 7) })), Is.EqualTo("930206" + "93" + "C403616E6E" + "07" + "91" + "FF"));
        Assert.That(Convert.ToHexString(CommandWriter.Encode(new LeaseRevokeCommand(-1) { Caller = Caller.Anonymous })), Is.EqualTo("930206" + "93" + "C400" + "00" + "91" + "FF"));
        Assert.That(Convert.ToHexString(CommandWriter.Encode(new AuthSwitchCommand(true))), Is.EqualTo("93010B" + "91" + "01"));
        Assert.That(Convert.ToHexString(CommandWriter.Encode(new UserAddCommand("u", "h"u8.ToArray(), true))), Is.EqualTo("93010C" + "93" + "01" + "C40175" + "C40168"));
        Assert.That(Convert.ToHexString(CommandWriter.Encode(new UserDeleteCommand("u"))), Is.EqualTo("93010D" + "91" + "C40175"));
        Assert.That(Convert.ToHexString(CommandWriter.Encode(new UserPasswordCommand("u", "h"u8.ToArray()))), Is.EqualTo("93010E" + "92" + "C40175" + "C40168"));
        Assert.That(Convert.ToHexString(CommandWriter.Encode(new UserRoleCommand(true, "u", "r"))), Is.EqualTo("93010F" + "93" + "01" + "C40175" + "C40172"));
        Assert.That(Convert.ToHexString(CommandWriter.Encode(new RoleCommand(false, "r"))), Is.EqualTo("930110" + "92" + "00" + "C40172"));
        var permission = new Permission(PermissionKind.ReadWrite, new KeyRange("a"u8.ToArray(), "b"u8.ToArray()));
        Assert.That(Convert.ToHexString(CommandWriter.Encode(new RolePermissionCommand(true, "r", permission))), Is.EqualTo("930111" + "95" + "01" + "C40172" + "02" + "C40161" + "C40162"));
        Assert.That(
            Convert.ToHexString(CommandWriter.Encode(new AuthenticateCommand("u", new byte[32], 3))), Is.EqualTo("930112" + "93" + "C40175" + "C420" + new string('0', 64) + "03"));
    }

    /// <summary>A lease that is named twice in one entry could end twice; so many that one entry takes long are refused.</summary>
    [Test]
    public void Leases_of_one_entry_ascend_and_are_bounded()
    {
        Assert.That(() => CommandReader.Decode(Convert.FromHexString("93010892" + "0202")), Throws.TypeOf<CommandFormatException>().With.Property("IsUnknownVersion").False);
        Assert.That(() => CommandReader.Decode(Convert.FromHexString("93010792" + "0201")), Throws.TypeOf<CommandFormatException>());
        long[] ids = [.. Enumerable.Range(1, CommandLimits.MaxLeases + 1).Select(i => (long)i)];
        Assert.That(() => CommandReader.Decode(CommandWriter.Encode(new LeaseRenewCommand(ids[1..]))), Throws.Nothing);
        Assert.That(() => CommandReader.Decode(CommandWriter.Encode(new LeaseRenewCommand(ids))), Throws.TypeOf<CommandFormatException>());
    }

    // Any bytes at all, and real commands with bytes changed or cut: one exception type, no other, and no allocation for lengths that are not there.
    [Test]
    public void Malformed_bytes_are_refused_without_any_other_exception()
    {
        Gen.Byte.Array[0, 200].Sample(bytes => Survives(bytes), iter: 20_000, threads: 1);
        Gen.Select(AnyCommand, Gen.Int[0, 10_000], Gen.Byte, Gen.Int[0, 10_000]).Sample(
            (command, at, value, cut) =>
            {
                byte[] bytes = CommandWriter.Encode(command);
                bytes[at % bytes.Length] = value;
                return Survives(bytes) && Survives(bytes[..(cut % (bytes.Length + 1))]);
            },
            iter: 5000,
            threads: 1);
    }

    [Test]
    public void A_length_that_the_payload_does_not_hold_allocates_nothing()
    {
        // put with a key of 2^31 - 1 bytes; a transaction of 2^31 - 1 compares; nesting without an end.
        byte[][] attacks =
        [
            Convert.FromHexString("93010194" + "00" + "C67FFFFFFF"),
            Convert.FromHexString("93010393" + "DD7FFFFFFF"),
            [.. Convert.FromHexString("930103"), .. Enumerable.Repeat(Convert.FromHexString("9390919204"), 100_000).SelectMany(bytes => bytes)],
        ];
        foreach (byte[] attack in attacks)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            Assert.That(() => CommandReader.Decode(attack), Throws.TypeOf<CommandFormatException>());
            Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.LessThan(1_000_000));
        }
    }

    [Test]
    public void A_newer_format_is_told_from_damage()
    {
        Assert.That(() => CommandReader.Decode(Convert.FromHexString("93030190")), Throws.TypeOf<CommandFormatException>().With.Property("IsUnknownVersion").True);
        Assert.That(() => CommandReader.Decode(Convert.FromHexString("93016390")), Throws.TypeOf<CommandFormatException>().With.Property("IsUnknownVersion").True);
        Assert.That(() => CommandReader.Decode(Convert.FromHexString("930101")), Throws.TypeOf<CommandFormatException>().With.Property("IsUnknownVersion").False);
        Assert.That(() => CommandReader.Decode(new byte[CommandLimits.MaxPayloadBytes + 1]), Throws.TypeOf<CommandFormatException>());
    }

    private static bool Survives(byte[] bytes)
    {
        try
        {
            CommandReader.Decode(bytes);
        }
        catch (CommandFormatException)
        {
        }

        return true;
    }
}
