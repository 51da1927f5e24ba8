using CsCheck;
using Loom.Raft;
using Loom.Store.Alarms;
using Loom.Store.Applying;
using Loom.Store.Auth;
using Loom.Store.Leases;
using Loom.Store.Model;
using NUnit.Framework;

namespace Loom.Store.Tests.Alarms;

internal sealed class AlarmTableTests
{
    private static readonly Gen<Alarm> AnyAlarm = Gen.Select(Gen.Int[1, 3], Gen.ULong[0, 6], Gen.Bool, (kind, member, automatic) => new Alarm((AlarmKind)kind, member, automatic));

    /// <summary>A list of raises and disarmings, against a dictionary: what is active, in which order, and one form of bytes whatever the way there.</summary>
    [Test]
    public void The_table_is_a_sorted_set_with_one_form() => Gen.Select(AnyAlarm, Gen.Bool, (alarm, raises) => (alarm, raises)).Array[0, 40].Sample(
        steps =>
        {
            AlarmTable table = AlarmTable.Empty;
            var model = new SortedDictionary<(AlarmKind, ulong), Alarm>();
            foreach ((Alarm alarm, bool raises) in steps)
            {
                table = raises ? table.With(alarm) : table.Without(alarm.Kind, alarm.Member);
                if (raises)
                {
                    model.TryAdd((alarm.Kind, alarm.Member), alarm);
                }
                else
                {
                    model.Remove((alarm.Kind, alarm.Member));
                }
            }

            Assert.That(table.All, Is.EqualTo(model.Values));
            AlarmTable other = model.Values.Reverse().Aggregate(AlarmTable.Empty, (sum, alarm) => sum.With(alarm));
            byte[] bytes = Bytes(table);
            return Bytes(other).AsSpan().SequenceEqual(bytes) && AlarmTable.Decode(bytes).All.SequenceEqual(table.All);
        },
        iter: 500,
        threads: 1);

    [Test]
    public void The_state_beside_the_records_survives_its_bytes()
    {
        const string Nobody = "01" + "00" + "0100000000000000" + "0000000000000000" + "00000000" + "00000000";
        const string Alarms = "01" + "0200" + "0101" + "0300000000000000" + "0200" + "0200000000000000";
        var state = new MachineState(12, 7, AlarmTable.Empty.With(new Alarm(AlarmKind.NoSpace, 3, IsAutomatic: true)).With(new Alarm(AlarmKind.Corrupt, 2)), new LeaseTerms([new LeaseTerm(4, 60, 9), new LeaseTerm(-1, 5, long.MaxValue)]), AuthState.Initial, 5);
        MachineState decoded = MachineState.Decode(state.Encode());
        Assert.That((decoded.Revision, decoded.CompactRevision, decoded.Epoch), Is.EqualTo((12, 7, 5)));
        Assert.That(decoded.Alarms.All, Is.EqualTo(state.Alarms.All));
        Assert.That(decoded.Leases.All, Is.EqualTo(state.Leases.All));
        const string Leases = "01" + "02000000" + "0400000000000000" + "3C00000000000000" + "0900000000000000" + "FFFFFFFFFFFFFFFF" + "0500000000000000" + "FFFFFFFFFFFFFF7F";
        Assert.That(Convert.ToHexString(state.Encode()), Is.EqualTo("04" + "0C00000000000000" + "0700000000000000" + "0500000000000000" + "17000000" + "35000000" + Alarms + Leases + Nobody));
        MachineState third = MachineState.Decode(Convert.FromHexString("03" + "0C00000000000000" + "0700000000000000" + "0500000000000000" + "17000000" + Alarms + Leases));
        Assert.That((third.Alarms.All.Count, third.Leases.All.Count, third.Auth.IsEnabled, third.Auth.Revision), Is.EqualTo((2, 2, false, 1L)), "format 3 had no users");
        MachineState second = MachineState.Decode(Convert.FromHexString("02" + "0C00000000000000" + "0700000000000000" + "0500000000000000" + Alarms));
        Assert.That((second.Revision, second.CompactRevision, second.Epoch, second.Alarms.All.Count, second.Leases.All.Count), Is.EqualTo((12, 7, 5, 2, 0)), "format 2 had no leases");
        MachineState older = MachineState.Decode(Convert.FromHexString("01" + "0C00000000000000" + "0700000000000000" + Alarms));
        Assert.That((older.Revision, older.CompactRevision, older.Epoch, older.Alarms.All.Count), Is.EqualTo((12, 7, 0, 2)), "format 1 had no epoch");
        Assert.That(Convert.ToHexString(MachineState.Initial.Encode()), Is.EqualTo("04" + "0100000000000000" + "FFFFFFFFFFFFFFFF" + "0000000000000000" + "03000000" + "05000000" + "01" + "0000" + "01" + "00000000" + Nobody));
    }

    /// <summary>The holder's checksum finds damage; here whatever the bytes are, it is one exception and nothing else, and a state that cannot be is refused.</summary>
    [Test]
    public void Bytes_that_no_version_wrote_are_refused()
    {
        byte[] good = new MachineState(12, 7, AlarmTable.Empty.With(new Alarm(AlarmKind.NoSpace, 3)).With(new Alarm(AlarmKind.NoSpace, 4)), LeaseTerms.Empty, AuthState.Initial).Encode();
        for (int length = 0; length < good.Length; length++)
        {
            Assert.That(() => MachineState.Decode(good.AsSpan(0, length)), Throws.TypeOf<RaftException>(), $"{length} bytes");
        }

        Assert.That(() => MachineState.Decode([.. good, 0]), Throws.TypeOf<RaftException>());
        Assert.That(() => MachineState.Decode([5, .. good[1..]]), Throws.TypeOf<RaftException>().With.Property("Code").EqualTo(RaftErrorCode.CannotOpen).And.Message.Contains("format 5"));
        Assert.That(() => MachineState.Decode(new MachineState(3, 4, AlarmTable.Empty, LeaseTerms.Empty, AuthState.Initial).Encode()), Throws.TypeOf<RaftException>().With.Property("Code").EqualTo(RaftErrorCode.Corruption));
        byte[] twice = [.. good];
        twice[^39] = 3; // the second alarm's member: now both are the same
        Assert.That(() => MachineState.Decode(twice), Throws.TypeOf<RaftException>().With.Property("Code").EqualTo(RaftErrorCode.Corruption));
        byte[] unknown = [.. good];
        unknown[^41] = 9; // a kind of a later version
        Assert.That(() => MachineState.Decode(unknown), Throws.TypeOf<RaftException>().With.Property("Code").EqualTo(RaftErrorCode.CannotOpen));
    }

    [Test]
    public void A_full_table_takes_no_more()
    {
        AlarmTable table = AlarmTable.Empty;
        for (ulong member = 0; member < AlarmTable.MaxAlarms; member++)
        {
            table = table.With(new Alarm(AlarmKind.NoSpace, member));
        }

        Assert.That(table.With(new Alarm(AlarmKind.Corrupt, 1)), Is.SameAs(table));
        Assert.That(AlarmTable.Decode(Bytes(table)).All, Has.Count.EqualTo(AlarmTable.MaxAlarms));
    }

    private static byte[] Bytes(AlarmTable table)
    {
        byte[] bytes = new byte[table.EncodedBytes];
        table.Encode(bytes);
        return bytes;
    }
}
