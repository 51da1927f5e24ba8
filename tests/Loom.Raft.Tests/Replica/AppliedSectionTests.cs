using Loom.Raft.Consensus;
using Loom.Raft.Proposals;
using Loom.Raft.Replica;
using Loom.Raft.Sessions;
using NUnit.Framework;

namespace Loom.Raft.Tests.Replica;

internal sealed class AppliedSectionTests
{
    [Test]
    public void Hash_time_and_sessions_come_back()
    {
        SessionTable sessions = Table();
        byte[] bytes = AppliedSection.Encode((UInt128)7 << 100, 99, sessions);
        SessionTable read = new();
        Assert.That(AppliedSection.Decode(bytes, read), Is.EqualTo(((UInt128)7 << 100, 99L)));
        Assert.That(read.Hash(), Is.EqualTo(sessions.Hash()));
        Assert.That(read.Decide(12, 60, new ProposalId(10, 1), 1).Verdict, Is.EqualTo(SessionVerdict.Repeat), "a write that was applied before is not applied again");
    }

    [Test]
    public void A_newer_format_is_refused_and_nonsense_is_damage()
    {
        byte[] bytes = AppliedSection.Encode(1, 2, Table());
        byte[] newer = [.. bytes];
        newer[0] = 2;
        Assert.That(() => AppliedSection.Decode(newer, new SessionTable()), Throws.InstanceOf<RaftException>().With.Property("Code").EqualTo(RaftErrorCode.CannotOpen));
        for (int length = 0; length < bytes.Length; length++)
        {
            int cut = length;
            Assert.That(() => AppliedSection.Decode(bytes.AsSpan(0, cut), new SessionTable()), Throws.InstanceOf<RaftException>(), $"{cut} bytes");
        }
    }

    // L9 at open: a state beyond the log, or of another history than the log's, says that the log lost what it had promised.
    [Test]
    public void A_state_ahead_of_the_log_is_a_damaged_member_and_one_behind_its_start_needs_a_snapshot()
    {
        Consensus.MemoryLog log = new(Consensus.Clusters.Of(1));
        log.Append([new Entry(1, 3, EntryKind.NoOp, 0, default), new Entry(2, 3, EntryKind.NoOp, 0, default)]);
        Assert.That(() => At(2, 3).Check(log), Throws.Nothing);
        Assert.That(() => default(OpenedState).Check(log), Throws.Nothing);
        Assert.That(() => At(3, 3).Check(log), Throws.InstanceOf<CorruptionException>().With.Message.Contains("the log ends at entry 2"));
        Assert.That(() => At(2, 4).Check(log), Throws.InstanceOf<CorruptionException>().With.Message.Contains("of term 3 in the log and of term 4"));
    }

    private static OpenedState At(long index, long term) => new(index, term, 0, 0, index, 0);

    private static SessionTable Table()
    {
        SessionTable sessions = new();
        sessions.Open(10, 50, new SessionOwner(new MemberId(1), 2, 3));
        sessions.Decide(11, 55, new ProposalId(10, 1), 1);
        sessions.Record(new ProposalId(10, 1), new Outcome { Revision = 5 });
        return sessions;
    }
}
