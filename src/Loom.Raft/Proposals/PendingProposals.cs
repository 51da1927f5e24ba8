using System.Diagnostics;

namespace Loom.Raft.Proposals;

/// <summary>How a settled sequence ended.</summary>
internal readonly record struct SettledProposal(ProposalId Id, bool Applied, ProposalResult Result);

/// <summary>
/// The proposals of this process that have a number and are not settled, found by that number (D4, P1): a window of <c>capacity</c> from the floor.
/// Invariants: every number below <see cref="Floor"/> is settled; the number at the floor is not (or floor = next); next ≤ floor + capacity.
/// It also keeps how the last <c>capacity</c> settled ones ended: a question that comes after the floor passed is answered from here, for the replicated table forgot (P1).
/// </summary>
internal sealed class PendingProposals(int capacity)
{
    private readonly Pending?[] ring = new Pending?[capacity];
    private readonly SettledProposal[] settled = new SettledProposal[capacity];

    public long Floor { get; private set; } = 1;

    public long Next { get; private set; } = 1;

    public bool IsFull => Next - Floor >= ring.Length;

    public bool IsEmpty => Next == Floor;

    /// <summary>Gives the proposal the next number.</summary>
    public long Add(Pending pending)
    {
        Debug.Assert(!IsFull, "the window is full (P1)");
        ring[Slot(Next)] = pending;
        return Next++;
    }

    /// <summary>The unsettled proposal with this number, or null.</summary>
    public Pending? Find(long number) => number >= Floor && number < Next ? ring[Slot(number)] : null;

    /// <summary>The outcome of this number is known for good: it falls under the floor with all below it.</summary>
    public void Settle(Pending pending, long number, bool applied, in ProposalResult result)
    {
        Debug.Assert(ReferenceEquals(ring[Slot(number)], pending), "settled once");
        ring[Slot(number)] = null;
        settled[Slot(number)] = new SettledProposal(pending.Id, applied, result);
        while (Floor < Next && ring[Slot(Floor)] is null)
        {
            Floor++;
        }
    }

    /// <summary>How a settled proposal ended, while it is among the last ones.</summary>
    public SettledProposal? FindSettled(ProposalId id)
    {
        var kept = settled[Slot(id.Sequence)];
        return kept.Id == id && id != default ? kept : null;
    }

    /// <summary>Empties the window without settling: the numbers are not used again. For the end of a session.</summary>
    public void DrainTo(List<Pending> unsettled)
    {
        for (; Floor < Next; Floor++)
        {
            if (ring[Slot(Floor)] is { } pending)
            {
                unsettled.Add(pending);
                ring[Slot(Floor)] = null;
            }
        }
    }

    private int Slot(long number) => (int)(number % ring.Length);
}
