using Loom.Raft.Consensus;
using Loom.Raft.Membership;

namespace Loom.Raft.Replica;

/// <summary>
/// S5: tells the other members what this replica's rolling hash was at every multiple of an interval, and compares theirs. A report that is lost is not repeated:
/// the hash is rolling, so the next one shows the same.
/// </summary>
/// <param name="self">This member.</param>
/// <param name="control">Where messages for other members go.</param>
internal sealed class StateExchange(MemberId self, List<Message> control)
{
    private readonly Divergence divergence = new(self);
    private bool news;

    /// <summary>At this index the state here was found to differ from that of a strict majority; 0: it does not.</summary>
    public long QuarantinedAt { get; private set; }

    /// <summary>At this index the members' states differ and no strict majority agrees; 0: no such thing was seen.</summary>
    public long StatesDifferAt { get; private set; }

    /// <summary>When to look again at the latest.</summary>
    public long NextLook => divergence.Deadline;

    /// <summary>Hashes that this replica's applier passed.</summary>
    public void Applied(long now, long term, Configuration configuration, IReadOnlyList<StateMark> marks)
    {
        foreach (StateMark mark in marks)
        {
            divergence.Add(now, self, mark.Index, mark.Hash);
            news = true;
            foreach (Member member in configuration.Members)
            {
                if (member.Id != self)
                {
                    control.Add(Report(member.Id, term, mark));
                }
            }
        }
    }

    /// <summary>Another member's.</summary>
    public void Received(long now, Message report)
    {
        divergence.Add(now, report.From, report.Index, new UInt128(report.Context, report.Incarnation));
        news = true;
    }

    /// <summary>Judges what was reported since the last time. True: one of the two numbers changed.</summary>
    public bool Compare(long now, Configuration configuration)
    {
        if (!news && now < divergence.Deadline)
        {
            return false;
        }

        news = false;
        (long wrong, long differ) = (QuarantinedAt, StatesDifferAt);
        Note(divergence.Judge(now, [.. configuration.Members.Where(m => m.Role is MemberRole.Voter or MemberRole.Standby).Select(m => m.Id)]));
        return (wrong, differ) != (QuarantinedAt, StatesDifferAt);
    }

    private void Note(DivergenceVerdict verdict)
    {
        switch (verdict)
        {
            case DivergenceVerdict.Here when QuarantinedAt == 0:
#if LOOM_MUTATIONS
                if (Diagnostics.Mutations.On("S5-ignore-divergence"))
                {
                    break;
                }
#endif
                QuarantinedAt = divergence.FoundAt;
                break;
            case DivergenceVerdict.Undecided when StatesDifferAt == 0:
                StatesDifferAt = divergence.FoundAt;
                break;
        }

        if (divergence.AgreedAt > StatesDifferAt)
        {
            // A member was only slow, or has been replaced since.
            StatesDifferAt = 0;
        }
    }

    /// <summary>This replica's state was replaced.</summary>
    public void Forget()
    {
        divergence.Forget();
        QuarantinedAt = 0;
    }

    private Message Report(MemberId to, long term, StateMark mark) => new()
    {
        Kind = MessageKind.StateReport, From = self, To = to, Term = term, Index = mark.Index, Context = (ulong)(mark.Hash >> 64), Incarnation = (ulong)mark.Hash,
    };
}

/// <summary>The rolling hash at an index (S5).</summary>
internal readonly record struct StateMark(long Index, UInt128 Hash);
