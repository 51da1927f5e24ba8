using Loom.Raft.Consensus;
using Loom.Raft.Proposals;
using Loom.Raft.Replica;
using Loom.Raft.Sessions;
using NUnit.Framework;

namespace Loom.Raft.Tests.Replica;

/// <summary>Apply is a pure function of the entries: the cut into works, local waiters and repeats change no hash.</summary>
public sealed class ApplierTests
{
    private readonly List<Entry> log = [];

    [SetUp]
    public void SetUp() => log.Clear();

    [Test]
    public void Repeats_answer_with_the_first_outcome_also_within_one_work()
    {
        Open();
        Command(session: 1, sequence: 1, 10);
        Command(session: 1, sequence: 2, 20);
        Command(session: 1, sequence: 1, 10);
        Command(session: 1, sequence: 2, 20);
        var (applier, machine) = New();
        var batch = applier.ApplyBatch(new ApplyWork(log, [new(1, true), new(2, false), new(3, true)]));

        Assert.That(machine.Seen, Is.EqualTo(new long[] { 10, 20 }));
        Assert.That(batch.Local.Select(o => o.Verdict), Is.EqualTo(new[] { ApplyVerdict.Applied, ApplyVerdict.Applied, ApplyVerdict.Deduplicated }));
        Assert.That(batch.Local[2].Outcome, Is.EqualTo(batch.Local[0].Outcome));
        Assert.That(batch.Local.Select(o => o.Result), Is.EqualTo(new object?[] { "answer 10", null, null }));
    }

    [Test]
    public void Refused_entries_reach_no_machine_and_say_why()
    {
        Open();
        Command(session: 1, sequence: 5, 10, floor: 5);
        Command(session: 1, sequence: 4, 20, floor: 4);
        Command(session: 9, sequence: 1, 30);
        Command(session: 1, sequence: 5000, 40, floor: 5);
        var (applier, machine) = New();
        var batch = applier.ApplyBatch(new ApplyWork(log, [new(1, false), new(2, false), new(3, false), new(4, false)]));

        Assert.That(machine.Seen, Is.EqualTo(new long[] { 10 }));
        Assert.That(batch.Local.Select(o => o.Verdict), Is.EqualTo(new[]
        {
            ApplyVerdict.Applied, ApplyVerdict.StaleSequence, ApplyVerdict.SessionExpired, ApplyVerdict.BeyondWindow,
        }));
    }

    // Goal: a restart at a checkpoint goes on as if there had been none: same hash, and what was applied before is answered, not applied. Method: cut at every entry.
    [Test]
    public void A_state_opened_at_a_checkpoint_goes_on_with_its_hash_its_time_and_its_sessions()
    {
        Open();
        for (var i = 1; i <= 6; i++)
        {
            Command(session: 1, sequence: i, i * 10);
            Command(session: 1, sequence: i, i * 10);
        }

        var (whole, seen) = New();
        whole.ApplyBatch(new ApplyWork(log, []));
        for (var cut = 1; cut < log.Count; cut++)
        {
            var (first, kept) = New();
            first.ApplyBatch(new ApplyWork(log[..cut], []));
            Assert.That(first.BeginCheckpoint(_ => { }), Is.True);
            kept.FinishCheckpoint();
            var machine = new TallyMachine(kept.Disk);
            var second = new Applier(machine, new SessionTable());
            var opened = second.Open(default);
            Assert.That(opened, Is.EqualTo(new OpenedState(cut, log[cut - 1].Term, log[cut - 1].ClusterTime, first.ApplyHash, cut, 0)));
            second.ApplyBatch(new ApplyWork(log[cut..], []));
            Assert.That((second.AppliedIndex, second.ApplyHash), Is.EqualTo((whole.AppliedIndex, whole.ApplyHash)), $"cut after {cut}");
            Assert.That(machine.Seen, Is.EqualTo(seen.Seen));
        }
    }

    [Test]
    public void The_hash_does_not_depend_on_the_cut_and_differs_at_every_index()
    {
        Open();
        for (var i = 1; i <= 20; i++)
        {
            Command(1, (i / 2) + 1, (i / 2) + 1);
            Add(EntryKind.NoOp, []);
        }

        var whole = Hashes([log.Count]);
        Assert.That(Hashes([1, 2, 3, 5, 8, 13, log.Count]), Is.EqualTo(whole));
        Assert.That(Hashes([.. Enumerable.Repeat(1, log.Count)]), Is.EqualTo(whole));
        Assert.That(whole, Is.Unique);
        Assert.That(whole, Has.Count.EqualTo(log.Count));
    }

    [Test]
    public void A_damaged_body_stops_the_replica()
    {
        Open();
        Command(1, 1, 10);
        var body = log[1].Body.ToArray();
        body[40 - 1] ^= 1;
        log[1] = log[1] with { Body = body };
        var (applier, machine) = New();
        var error = Assert.Throws<RaftException>(() => applier.ApplyBatch(new ApplyWork(log, [])));
        Assert.That(error!.Code, Is.EqualTo(RaftErrorCode.Corruption));
        Assert.That(error.Message, Does.Contain("entry 2"));
        Assert.That(machine.Seen, Is.Empty);
    }

    [Test]
    public void An_entry_of_an_unknown_kind_or_out_of_order_stops_the_replica()
    {
        Add(EntryKind.FeatureLevel, []);
        Assert.Throws<RaftException>(() => New().Applier.ApplyBatch(new ApplyWork(log, [])));
        log[0] = log[0] with { Index = 2, Kind = EntryKind.NoOp };
        Assert.Throws<InvalidOperationException>(() => New().Applier.ApplyBatch(new ApplyWork(log, [])));
    }

    private List<UInt128> Hashes(int[] cuts)
    {
        var hashes = new List<UInt128>();
        var (applier, _) = New();
        applier.Observer = (_, hash) => hashes.Add(hash);
        var at = 0;
        foreach (var cut in cuts)
        {
            var part = log.Skip(at).Take(cut).ToList();
            at += part.Count;
            if (part.Count > 0)
            {
                applier.ApplyBatch(new ApplyWork(part, []));
            }
        }

        return hashes;
    }

    private static (Applier Applier, TallyMachine Machine) New()
    {
        var machine = new TallyMachine();
        var applier = new Applier(machine, new SessionTable());
        applier.Open(default);
        return (applier, machine);
    }

    private void Open() => Add(EntryKind.OpenSession, Envelope.Encode(EntryKind.OpenSession, new ProposalId(0, 99), 1, new byte[8]));

    private void Command(long session, long sequence, long number, long floor = 1) =>
        Add(EntryKind.Command, Envelope.Encode(EntryKind.Command, new ProposalId(session, sequence), floor, TallyMachine.Payload(number)));

    private void Add(EntryKind kind, byte[] body) => log.Add(new Entry(log.Count + 1, 1, kind, log.Count, body));
}
