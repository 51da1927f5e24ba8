using Loom.Simulation.Checkers;
using Loom.Simulation.Engine;
using Loom.Simulation.History;
using NUnit.Framework;

namespace Loom.Simulation.Tests;

/// <summary>Small histories with one thing wrong: a checker that lets one of them pass would let the product pass, too.</summary>
internal sealed class CheckerTests
{
    private int nextId;

    [SetUp]
    public void SetUp() => nextId = 1;

    [Test]
    public void A_sound_history_passes_both_checkers()
    {
        ClientOperation[] history =
        [
            Put(0, 1, call: 0, end: 10, revision: 2),
            Read(0, call: 11, end: 20, revision: 2, new Observation(0, 1, 2, 2, 1)),
            Put(0, 2, call: 15, end: 30, revision: 3),
            Cas(0, expected: 2, value: 3, call: 31, end: 40, revision: 4),
            Cas(0, expected: 2, value: 4, call: 31, end: 45, revision: 4, succeeded: false),
        ];
        RevisionChecker.Check(history, [Revision(2, 0, 1), Revision(3, 0, 2), Revision(4, 0, 3)]);
        Assert.That(SearchChecker.Check(history, 1000), Is.EqualTo((1, 0)));
    }

    [Test]
    public void An_unknown_write_may_take_effect_late_or_never()
    {
        ClientOperation[] history =
        [
            Put(0, 1, call: 0, end: 10, revision: 2),
            Unknown(0, 2, call: 1),
            Unknown(0, 9, call: 1),
            Read(0, call: 20, end: 30, revision: 2, new Observation(0, 1, 2, 2, 1)),
            Read(0, call: 40, end: 50, revision: 3, new Observation(0, 2, 3, 2, 2)),
        ];
        RevisionChecker.Check(history, [Revision(2, 0, 1), Revision(3, 0, 2)]);
        Assert.That(SearchChecker.Check(history, 1000), Is.EqualTo((1, 0)));
    }

    [Test]
    public void A_stale_read_is_seen_by_its_time_and_by_search()
    {
        ClientOperation[] history =
        [
            Put(0, 1, call: 0, end: 10, revision: 2),
            Put(0, 2, call: 11, end: 20, revision: 3),
            Read(0, call: 21, end: 30, revision: 2, new Observation(0, 1, 2, 2, 1)),
        ];
        Assert.Multiple(() =>
        {
            Assert.That(Revisions(history, [Revision(2, 0, 1), Revision(3, 0, 2)]), Is.EqualTo("real-time"));
            Assert.That(Search(history), Is.EqualTo("search"));
        });
    }

    [Test]
    public void A_read_of_a_value_before_its_write_was_called_is_seen()
    {
        ClientOperation[] history =
        [
            Read(0, call: 0, end: 5, revision: 2, new Observation(0, 1, 2, 2, 1)),
            Put(0, 1, call: 6, end: 10, revision: 2),
        ];
        Assert.Multiple(() =>
        {
            Assert.That(Revisions(history, [Revision(2, 0, 1)]), Is.EqualTo("real-time"));
            Assert.That(Search(history), Is.EqualTo("search"));
        });
    }

    [Test]
    public void Two_writes_at_one_revision_are_seen() => Assert.That(
        Revisions([Put(0, 1, 0, 10, 2), Put(0, 2, 0, 10, 2)], [Revision(2, 0, 1)]), Is.EqualTo("revision-unique"));

    [Test]
    public void A_lost_acknowledged_write_is_seen() => Assert.That(
        Revisions([Put(0, 1, 0, 10, 2), Put(0, 2, 11, 20, 3)], [Revision(2, 0, 1)]), Is.EqualTo("acknowledged-lost"));

    [Test]
    public void A_write_applied_twice_is_seen() => Assert.That(
        Revisions([Put(0, 1, 0, 10, 2)], [Revision(2, 0, 1), Revision(3, 0, 1)]), Is.EqualTo("exactly-once"));

    [Test]
    public void An_invented_value_is_seen() => Assert.That(Revisions([], [Revision(2, 0, 1)]), Is.EqualTo("invented"));

    [Test]
    public void A_write_that_was_reported_as_not_applied_is_seen()
    {
        ClientOperation put = Unknown(0, 1, 0);
        put.Status = OperationStatus.NotApplied;
        Assert.That(Revisions([put], [Revision(2, 0, 1)]), Is.EqualTo("definite-outcome"));
    }

    [Test]
    public void A_torn_transaction_is_seen()
    {
        ClientOperation both = Put(0, 1, 0, 10, 2, new Effect(1, 2));
        Assert.That(Revisions([both], [Revision(2, 0, 1)]), Is.EqualTo("torn"));
    }

    [Test]
    public void A_compare_that_was_judged_on_an_old_state_is_seen()
    {
        ClientOperation[] history =
        [
            Put(0, 1, 0, 10, 2),
            Put(0, 2, 11, 20, 3),
            Cas(0, expected: 1, value: 3, call: 21, end: 30, revision: 4),
        ];
        Assert.Multiple(() =>
        {
            Assert.That(Revisions(history, [Revision(2, 0, 1), Revision(3, 0, 2), Revision(4, 0, 3)]), Is.EqualTo("state"));
            Assert.That(Search(history), Is.EqualTo("search"));
        });
    }

    [Test]
    public void Local_reads_that_go_backwards_on_one_replica_are_seen()
    {
        ClientOperation[] history =
        [
            Put(0, 1, 0, 10, 2),
            Read(0, 20, 21, 2, new Observation(0, 1, 2, 2, 1), local: true),
            Read(0, 22, 23, 1, new Observation(0, 0, 0, 0, 0), local: true),
        ];
        Assert.That(Revisions(history, [Revision(2, 0, 1)]), Is.EqualTo("local-backwards"));
    }

    [Test]
    public void A_search_that_meets_its_cap_is_undecided_and_no_pass()
    {
        ClientOperation[] history = [.. Enumerable.Range(0, 12).Select(i => Put(0, i + 1, 0, 100, i + 2)), Read(0, 101, 110, 9, new Observation(0, 99, 9, 2, 3))];
        Assert.That(SearchChecker.Check(history, 100), Is.EqualTo((0, 1)));
    }

    private static string? Revisions(ClientOperation[] history, RevisionRecord[] revisions) =>
        Caught(() => RevisionChecker.Check(history, revisions));

    private static string? Search(ClientOperation[] history) => Caught(() => SearchChecker.Check(history, 100_000));

    private static string? Caught(Action check)
    {
        try
        {
            check();
            return null;
        }
        catch (SimulationFailure failure)
        {
            return failure.Checker;
        }
    }

    private static RevisionRecord Revision(long revision, int key, int value) => new(revision, [new(key, value)]);

    private ClientOperation Put(int key, int value, long call, long end, long revision, params Effect[] more) => new()
    {
        Id = nextId++, Client = 1, Member = 0, MemberLife = 1, Call = call, Return = end, Status = OperationStatus.Acknowledged,
        Effects = [new(key, value), .. more], Revision = revision, Succeeded = true, Changed = true,
    };

    private ClientOperation Cas(int key, int expected, int value, long call, long end, long revision, bool succeeded = true) => new()
    {
        Id = nextId++, Client = 1, Member = 0, MemberLife = 1, Call = call, Return = end, Status = OperationStatus.Acknowledged,
        Conditions = [new(key, expected)], Effects = [new(key, value)], Revision = revision, Succeeded = succeeded, Changed = succeeded,
    };

    private ClientOperation Unknown(int key, int value, long call) => new()
    {
        Id = nextId++, Client = 1, Member = 0, MemberLife = 1, Call = call, Status = OperationStatus.Unknown, Effects = [new(key, value)],
    };

    private ClientOperation Read(int key, long call, long end, long revision, Observation seen, bool local = false)
    {
        ClientOperation read = new()
        {
            Id = nextId++, Client = 1, Member = 0, MemberLife = 1, Call = call, Return = end, Status = OperationStatus.Acknowledged,
            Wanted = [key], Revision = revision, Succeeded = true, IsLocalRead = local,
        };
        read.Reads.Add(seen);
        return read;
    }
}
