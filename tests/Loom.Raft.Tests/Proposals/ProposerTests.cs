using Loom.Raft.Consensus;
using Loom.Raft.Proposals;
using Loom.Raft.Replica;
using Loom.Raft.Sessions;
using Loom.Raft.Tests.Replica;
using NUnit.Framework;

namespace Loom.Raft.Tests.Proposals;

/// <summary>The proposer alone, with a leader elsewhere that the test plays.</summary>
public sealed class ProposerTests
{
    private const long Far = 1_000_000_000_000;
    private static readonly MemberId Self = new(1);
    private static readonly MemberId Leader = new(2);

    private readonly List<ForwardMessage> sent = [];
    private readonly List<ProposalCompletion> done = [];
    private Forwarder forwarder = null!;
    private Proposer proposer = null!;

    [SetUp]
    public void SetUp()
    {
        sent.Clear();
        done.Clear();
        var options = new ReplicaOptions { Id = Self, Incarnation = 33, Seed = 1, ClusterId = 1, MaxForwardBytes = 100, MaxForwardInFlightBytes = 400 };
        forwarder = new Forwarder(options, new MemoryReplicaLog(), sent, 1000);
        forwarder.Connected(Leader);
        proposer = new Proposer(options, forwarder, done, 5);
    }

    [Test]
    public void The_first_write_opens_the_session()
    {
        Submit(1);
        Pump();
        var opening = Items().Single();
        Assert.That(opening.Kind, Is.EqualTo(EntryKind.OpenSession));
        var header = Envelope.ReadHeader(opening.Body.Span);
        Assert.That(header.Floor, Is.EqualTo(33));
        Applied(12, opening);
        Assert.That(proposer.Session, Is.EqualTo(12));
        Pump();
        Assert.That(Envelope.ReadHeader(Items().Single().Body.Span), Is.EqualTo(new EnvelopeHeader(new ProposalId(12, 1), 1)));
    }

    [Test]
    public void An_expired_session_is_opened_anew_and_its_writes_start_again()
    {
        OpenSession(12);
        var first = Submit(1);
        var abandoned = Submit(2);
        Pump();
        var items = Items();
        Receipt(items[1], 13, 1);
        proposer.Abandon(abandoned);
        Assert.That(done.Single().Known, Is.EqualTo(WriteOutcome.Unknown));

        Refused(14, items[0], ApplyVerdict.SessionExpired);
        Assert.That(proposer.Session, Is.Zero);
        Refused(15, items[1], ApplyVerdict.SessionExpired);
        Pump();
        var opening = Items().Single();
        Applied(16, opening);
        Pump();
        var again = Items().Single();
        var header = Envelope.ReadHeader(again.Body.Span);
        Assert.That(header, Is.EqualTo(new EnvelopeHeader(new ProposalId(16, 4), 4)), "numbers go on, and everything older is settled");
        Applied(17, again);
        Assert.That(done[^1].Request, Is.SameAs(first));
        Assert.That(done[^1].Succeeded);
        Assert.That(proposer.Unsettled, Is.Zero);
    }

    [Test]
    public void A_late_entry_of_the_old_session_completes_nothing()
    {
        OpenSession(12);
        Submit(1);
        Pump();
        var old = Items().Single();
        Refused(14, old, ApplyVerdict.SessionExpired);
        Pump();
        Applied(16, Items().Single());
        Pump();
        var again = Items().Single();
        Applied(18, old);
        Assert.That(done, Is.Empty);
        Applied(19, again);
        Assert.That(done.Single().Result.Index, Is.EqualTo(19));
    }

    /// <summary>P3 after an install: four writes are under way when the state jumps over the entries 13 to 20.</summary>
    [Test]
    public void A_state_that_jumps_settles_what_its_sessions_know_and_the_rest_waits_on()
    {
        OpenSession(12);
        ProposalRequest[] requests = [Submit(1), Submit(2), Submit(3), Submit(4)];
        Pump();
        var items = Items();
        Pump();
        items.AddRange(Items());
        Receipt(items[1], 14, 1);
        Receipt(items[2], 25, 1);
        var inquiry = proposer.Inquire();
        Assert.That(inquiry.Ids.Select(i => i.Sequence), Is.EqualTo(new long[] { 2, 3, 4, 5 }));
        Assert.That(inquiry.Opening, Is.Null);
        var late = Submit(5);
        Pump();
        Items();

        proposer.OnJump(20, 1, inquiry, new SessionAnswers([new SessionDecision(SessionVerdict.Repeat, new Outcome(0, 0, 7, 1)), null, null, null], 0));
        Assert.That(done.Single().Request, Is.SameAs(requests[0]));
        Assert.That((done[0].Succeeded, done[0].Result.Outcome.Revision, done[0].Result.Deduplicated), Is.EqualTo((true, 7L, true)), "its own apply never ran here");
        Pump();
        Assert.That(Items().Select(i => Envelope.ReadHeader(i.Body.Span).Id.Sequence), Is.EqualTo(new long[] { 3 }), "entry 14 was another one; entry 25 is still to come");

        // The receipt of an attempt whose place the state has passed says that it was superseded.
        Receipt(items[3], 19, 1);
        Pump();
        Assert.That(Items().Select(i => Envelope.ReadHeader(i.Body.Span).Id.Sequence), Is.EqualTo(new long[] { 5 }));
        Assert.That(done, Has.Count.EqualTo(1), "nobody else is told anything");
        Assert.That(late.Pending, Is.Not.Null);
    }

    [Test]
    public void A_session_on_its_way_is_found_in_an_installed_state()
    {
        var request = Submit(1);
        Pump();
        var opening = Items().Single();
        var inquiry = proposer.Inquire();
        Assert.That(inquiry.Opening, Is.EqualTo(new SessionOwner(Self, 33, (ulong)Envelope.ReadHeader(opening.Body.Span).Id.Sequence)));
        proposer.OnJump(20, 1, inquiry, new SessionAnswers([], 15));
        Assert.That(proposer.Session, Is.EqualTo(15));
        Pump();
        var write = Items().Single();
        Assert.That(Envelope.ReadHeader(write.Body.Span).Id, Is.EqualTo(new ProposalId(15, 1)));
        Applied(21, write);
        Assert.That(done.Single().Request, Is.SameAs(request));
    }

    /// <summary>The session was open where this replica stood and is not where it jumped to: what had an attempt may have been applied before it ended.</summary>
    [Test]
    public void A_session_that_ended_under_a_jump_leaves_unknown_what_may_have_been_applied()
    {
        OpenSession(12);
        var open = Submit(1);
        var refused = Submit(2);
        Pump();
        var items = Items();
        proposer.OnReceipt(0, new ProposalAnswer(items[1].Tag, ProposalRefusal.NotLeader, 0, 0));
        var inquiry = proposer.Inquire();
        var expired = new SessionDecision(SessionVerdict.SessionExpired);
        proposer.OnJump(20, 1, inquiry, new SessionAnswers([expired, expired], 0));
        Assert.That((done.Single().Request, done[0].Error, done[0].Known), Is.EqualTo((open, RaftErrorCode.OutcomeLost, WriteOutcome.Unknown)));
        Pump();
        Applied(21, Items().Single());
        Pump();
        var again = Items().Single();
        Applied(22, again);
        Assert.That(done[^1].Request, Is.SameAs(refused));
        Assert.That(done[^1].Succeeded);
        Assert.That(proposer.Unsettled, Is.Zero);
    }

    /// <summary>An entry that was applied here and has left the log since: its term cannot be looked up any more.</summary>
    [Test]
    public void A_late_receipt_for_a_place_that_is_applied_here_is_superseded()
    {
        OpenSession(12);
        Submit(1);
        Pump();
        var item = Items().Single();
        proposer.OnApplied(40);
        Receipt(item, 30, 1);
        Pump();
        Assert.That(Items().Single().Body.Span.SequenceEqual(item.Body.Span), "sent again, under its id");
    }

    [Test]
    public void Messages_and_bytes_in_flight_are_bounded()
    {
        OpenSession(12);
        for (var i = 0; i < 50; i++)
        {
            Submit(i);
        }

        Pump();
        var items = Items();
        Assert.That(sent.Count, Is.Zero);
        Assert.That(items, Has.Count.EqualTo(10), "400 bytes of 40 each");
        foreach (var item in items)
        {
            Receipt(item, 20, 1);
        }

        Pump();
        Assert.That(sent.Cast<ForwardProposals>().Select(m => m.Items.Count), Is.All.EqualTo(2), "100 bytes a message");
        Assert.That(Items(), Has.Count.EqualTo(10), "receipts make room");
    }

    [Test]
    public void What_has_a_receipt_is_not_sent_again_on_a_leader_change()
    {
        OpenSession(12);
        Submit(1);
        Submit(2);
        Pump();
        var items = Items();
        Receipt(items[0], 13, 1);
        proposer.OnLeaderChanged();
        Pump();
        Assert.That(Items().Select(i => Envelope.ReadHeader(i.Body.Span).Id.Sequence), Is.EqualTo(new long[] { 3 }));
    }

    [Test]
    public void A_receipt_that_comes_after_the_log_went_another_way_frees_the_attempt()
    {
        OpenSession(12);
        var request = Submit(1);
        Pump();
        var item = Items().Single();
        proposer.OnCommitted(new Entry(13, 7, EntryKind.NoOp, 0, default), out _);
        Receipt(item, 14, 3);
        proposer.Abandon(request);
        Assert.That(done.Single().Known, Is.EqualTo(WriteOutcome.NotApplied), "term 3 can no longer commit behind an entry of term 7");
    }

    [Test]
    public void Refusals_before_append_are_tried_again_and_certain()
    {
        OpenSession(12);
        var request = Submit(1);
        Pump();
        var item = Items().Single();
        proposer.OnReceipt(0, new ProposalAnswer(item.Tag, ProposalRefusal.NotLeader, 0, 0));
        Pump();
        Assert.That(Items(), Is.Empty, "after a pause");
        proposer.Sweep(proposer.SweepAt, RaftErrorCode.DeadlineExceeded);
        Pump();
        item = Items().Single();
        proposer.OnReceipt(0, new ProposalAnswer(item.Tag, ProposalRefusal.Transferring, 0, 0));
        proposer.Abandon(request);
        Assert.That(done.Single().Known, Is.EqualTo(WriteOutcome.NotApplied));
        Assert.That(proposer.Unsettled, Is.Zero);
    }

    [Test]
    public void An_overloaded_leader_is_said_so_unless_an_older_attempt_may_be_in_a_log()
    {
        OpenSession(12);
        Submit(1);
        Submit(2);
        Pump();
        var items = Items();
        proposer.OnReceipt(0, new ProposalAnswer(items[0].Tag, ProposalRefusal.Overloaded, 0, 0));
        Assert.That((done.Single().Error, done.Single().Known), Is.EqualTo((RaftErrorCode.Overloaded, WriteOutcome.NotApplied)));

        proposer.OnLeaderChanged();
        Pump();
        proposer.OnReceipt(0, new ProposalAnswer(Items().Single().Tag, ProposalRefusal.Overloaded, 0, 0));
        Assert.That(done, Has.Count.EqualTo(1), "its first attempt has no receipt");
    }

    [Test]
    public void A_broken_connection_makes_attempts_neither_refused_nor_known()
    {
        OpenSession(12);
        var request = Submit(1);
        Pump();
        Items();
        proposer.OnDisconnected(Leader);
        Pump();
        Assert.That(Items(), Is.Empty);
        proposer.Abandon(request);
        Assert.That(done.Single().Known, Is.EqualTo(WriteOutcome.Unknown));
        forwarder.Connected(Leader);
        Pump();
        var again = Items().Single();
        Applied(13, again);
        Assert.That(proposer.Unsettled, Is.Zero);
        Assert.That(done, Has.Count.EqualTo(1));
    }

    [Test]
    public void A_receipt_for_another_life_is_ignored()
    {
        OpenSession(12);
        Submit(1);
        Pump();
        Items();
        proposer.OnReceipt(0, new ProposalAnswer(17, ProposalRefusal.NotLeader, 0, 0));
        proposer.OnReceipt(0, new ProposalAnswer(17, ProposalRefusal.None, 5, 5));
        Assert.That(proposer.Unsettled, Is.EqualTo(1));
    }

    private ProposalRequest Submit(long number)
    {
        var request = new ProposalRequest(TallyMachine.Payload(number), Far);
        proposer.Submit(0, request, 0);
        return request;
    }

    private void Pump()
    {
        proposer.Pump();
        forwarder.Flush(0, Leader, []);
    }

    private void OpenSession(long index)
    {
        Submit(0);
        Pump();
        Applied(index, Items().Single());
        Pump();
        Applied(index + 1, Items().Single());
        done.Clear();
    }

    private List<ProposalItem> Items()
    {
        var items = sent.Cast<ForwardProposals>().SelectMany(m => m.Items).ToList();
        sent.Clear();
        return items;
    }

    private void Receipt(ProposalItem item, long index, long term) =>
        proposer.OnReceipt(0, new ProposalAnswer(item.Tag, ProposalRefusal.None, index, term));

    private void Applied(long index, ProposalItem item) => Refused(index, item, ApplyVerdict.Applied);

    private void Refused(long index, ProposalItem item, ApplyVerdict verdict) =>
        proposer.OnOutcome(new LocalOutcome(index, 1, item.Kind, Envelope.ReadHeader(item.Body.Span).Id, verdict, default, null));
}
