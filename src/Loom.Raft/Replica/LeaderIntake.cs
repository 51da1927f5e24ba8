using Loom.Raft.Consensus;
using Loom.Raft.Proposals;

namespace Loom.Raft.Replica;

/// <summary>
/// Gathers everything that wants to be appended here in one step, forwarded or local, into one Propose, and sends each answer back to where it came from.
/// Every body is verified before it can be appended (L10). Nothing stays in here after a step.
/// </summary>
internal sealed class LeaderIntake(MemberId self, Proposer proposer, List<ForwardMessage> outbox)
{
    private readonly List<ForwardProposals> forwarded = [];
    private readonly List<ProposalItem> items = [];
    private readonly List<(int Message, int Position)> origins = [];

    /// <summary>Local proposals that the forwarder brought here.</summary>
    public List<Pending> Local { get; } = [];

    public bool IsEmpty => forwarded.Count == 0 && Local.Count == 0;

    public void Add(ForwardProposals message) => forwarded.Add(message);

    /// <summary>What to propose; the tag of each is its position. Null if there is nothing.</summary>
    public Propose? Gather(out ProposalAnswer[][] receipts)
    {
        items.Clear();
        origins.Clear();
        receipts = forwarded.Count == 0 ? [] : new ProposalAnswer[forwarded.Count][];
        for (var m = 0; m < forwarded.Count; m++)
        {
            var bodies = forwarded[m].Items;
            receipts[m] = new ProposalAnswer[bodies.Count];
            for (var i = 0; i < bodies.Count; i++)
            {
                receipts[m][i] = new ProposalAnswer(bodies[i].Tag, ProposalRefusal.Invalid, 0, 0);
                if (Envelope.Verify(bodies[i].Kind, bodies[i].Body.Span, out _))
                {
                    items.Add(new ProposalItem((ulong)items.Count, bodies[i].Kind, bodies[i].Body));
                    origins.Add((m, i));
                }
            }
        }

        foreach (var pending in Local)
        {
            items.Add(new ProposalItem((ulong)items.Count, pending.Kind, pending.Body));
        }

        return items.Count == 0 ? null : new Propose(items);
    }

    /// <summary>Takes one answer of the core.</summary>
    public void Answer(long now, in ProposalAnswer answer, ProposalAnswer[][] receipts)
    {
        var item = (int)answer.Tag;
        if (item < origins.Count)
        {
            var (message, position) = origins[item];
            receipts[message][position] = answer with { Tag = receipts[message][position].Tag };
        }
        else
        {
            proposer.OnAnswerHere(now, Local[item - origins.Count], answer);
        }
    }

    /// <summary>Sends the receipts and forgets.</summary>
    public void Finish(ProposalAnswer[][] receipts)
    {
        for (var m = 0; m < receipts.Length; m++)
        {
            outbox.Add(new ForwardReceipts(self, forwarded[m].From, receipts[m]));
        }

        forwarded.Clear();
        Local.Clear();
        items.Clear();
    }
}
