using Loom.Raft.Consensus;
using Loom.Raft.Sessions;
using NUnit.Framework;

namespace Loom.Raft.Tests.Sessions;

/// <summary>P1 and P2, one promise per test.</summary>
[TestFixture]
public sealed class SessionTableTests
{
    private const long Hour = SessionTable.LifetimeNanoseconds;

    private static readonly SessionOwner Owner = new(new MemberId(7), 8, 9);

    [Test]
    public void A_retry_is_answered_with_the_first_outcome()
    {
        SessionTable table = WithSession(10);
        Assert.That(table.Decide(11, 0, new(10, 57), 57).Verdict, Is.EqualTo(SessionVerdict.Apply));
        table.Record(new(10, 57), new Outcome(0, 1, 42, 3));
        Assert.That(table.Decide(12, 0, new(10, 57), 57), Is.EqualTo(new SessionDecision(SessionVerdict.Repeat, new Outcome(0, 1, 42, 3))));
    }

    [Test]
    public void A_later_sequence_does_not_settle_an_earlier_one()
    {
        // 57 and 58 in flight, 57 lost, 58 applied: a table of "last sequence" would call 57's retry done.
        SessionTable table = WithSession(10);
        Apply(table, 11, 58, floor: 57);
        Assert.That(table.Decide(12, 0, new(10, 57), 57).Verdict, Is.EqualTo(SessionVerdict.Apply));
    }

    [Test]
    public void What_lies_below_the_floor_is_never_a_success()
    {
        SessionTable table = WithSession(10);
        Apply(table, 11, 57, floor: 57);
        Apply(table, 12, 58, floor: 58);
        Assert.That(table.Decide(13, 0, new(10, 57), 57).Verdict, Is.EqualTo(SessionVerdict.StaleSequence));
    }

    [Test]
    public void The_window_is_1024_sequences_wide()
    {
        SessionTable table = WithSession(10);
        Assert.That(table.Decide(11, 0, new(10, 1024), 1).Verdict, Is.EqualTo(SessionVerdict.Apply));
        Assert.That(table.Decide(12, 0, new(10, 1025), 1).Verdict, Is.EqualTo(SessionVerdict.BeyondWindow));
        Assert.That(table.Decide(13, 0, new(10, 1025), 2).Verdict, Is.EqualTo(SessionVerdict.Apply));
    }

    [Test]
    public void A_session_is_never_created_by_use()
    {
        SessionTable table = WithSession(10);
        Assert.That(table.Decide(11, 0, new(9, 1), 1).Verdict, Is.EqualTo(SessionVerdict.SessionExpired));
        Assert.That(table.Decide(12, 0, new(9, 1), 1).Verdict, Is.EqualTo(SessionVerdict.SessionExpired));
    }

    [Test]
    public void An_unused_session_ends_at_the_first_entry_stamped_more_than_an_hour_later()
    {
        SessionTable table = WithSession(10);
        table.Decide(11, 5, new(10, 1), 1);
        table.Advance(5 + Hour);
        Assert.That(table.Count, Is.EqualTo(1));
        table.Advance(5 + Hour + 1);
        Assert.That(table.Count, Is.EqualTo(0));
        Assert.That(table.Decide(12, 5 + Hour + 1, new(10, 1), 1).Verdict, Is.EqualTo(SessionVerdict.SessionExpired));
    }

    [Test]
    public void The_session_unused_longest_ends_when_there_are_too_many()
    {
        var table = new SessionTable(maxSessions: 2, maxOutcomes: 100);
        table.Open(10, 0, Owner);
        table.Open(11, 0, Owner);
        table.Decide(12, 0, new(10, 1), 1);
        table.Open(13, 0, Owner);
        Assert.That(table.Find(new(11, 1))!.Value.Verdict, Is.EqualTo(SessionVerdict.SessionExpired));
        Assert.That(table.Find(new(10, 2)), Is.Null);
    }

    [Test]
    public void The_session_unused_longest_ends_when_there_are_too_many_outcomes()
    {
        var table = new SessionTable(maxSessions: 10, maxOutcomes: 3);
        table.Open(10, 0, Owner);
        table.Open(11, 0, Owner);
        table.Decide(12, 0, new(10, 1), 1);
        table.Decide(13, 0, new(10, 2), 1);
        table.Decide(14, 0, new(11, 1), 1);
        Assert.That(table.OutcomeCount, Is.EqualTo(3));
        table.Decide(15, 0, new(11, 2), 1);
        Assert.That(table.Count, Is.EqualTo(1));
        Assert.That(table.OutcomeCount, Is.EqualTo(2));
    }

    [Test]
    public void A_repeat_in_the_same_batch_waits_for_the_outcome()
    {
        SessionTable table = WithSession(10);
        table.Decide(11, 0, new(10, 1), 1);
        Assert.That(table.Decide(12, 0, new(10, 1), 1).Verdict, Is.EqualTo(SessionVerdict.Wait));
        table.Record(new(10, 1), new Outcome(0, 0, 5, 0));
        Assert.That(table.Decide(12, 0, new(10, 1), 1).Verdict, Is.EqualTo(SessionVerdict.Repeat));
    }

    [Test]
    public void An_owner_finds_the_first_session_it_opened()
    {
        SessionTable table = WithSession(10);
        table.Open(11, 0, Owner);
        Assert.That(table.FindSession(Owner), Is.EqualTo(10));
        Assert.That(table.FindSession(Owner with { Nonce = 1 }), Is.EqualTo(0));
    }

    [Test]
    public void After_an_install_a_pending_proposal_finds_its_outcome_or_goes_on_waiting()
    {
        SessionTable table = WithSession(10);
        Apply(table, 11, 1, floor: 1);
        Apply(table, 12, 2, floor: 2);
        var installed = new SessionTable();
        installed.Deserialize(table.Serialize());
        Assert.That(installed.Find(new(10, 2))!.Value, Is.EqualTo(new SessionDecision(SessionVerdict.Repeat, new Outcome(0, 0, 12, 0))));
        Assert.That(installed.Find(new(10, 1))!.Value.Verdict, Is.EqualTo(SessionVerdict.StaleSequence));
        Assert.That(installed.Find(new(10, 3)), Is.Null);
    }

    [Test]
    public void A_damaged_or_newer_table_is_refused()
    {
        byte[] bytes = WithSession(10).Serialize();
        Assert.Throws<FormatException>(() => new SessionTable().Deserialize(bytes.AsSpan(0, bytes.Length - 1)));
        bytes[0] = 2;
        Assert.Throws<FormatException>(() => new SessionTable().Deserialize(bytes));
    }

    private static SessionTable WithSession(long id)
    {
        var table = new SessionTable();
        table.Open(id, 0, Owner);
        return table;
    }

    private static void Apply(SessionTable table, long index, long sequence, long floor)
    {
        Assert.That(table.Decide(index, 0, new(10, sequence), floor).Verdict, Is.EqualTo(SessionVerdict.Apply));
        table.Record(new(10, sequence), new Outcome(0, 0, index, 0));
    }
}
