
namespace Loom.Raft.Sessions;

/// <summary>
/// Outcomes of the sequences [Floor, Floor + 1,024) of one session (P1). A ring that grows with what is used of the window: most sessions have a few writes in flight.
/// A slot is empty (not seen), pending (decided, not yet applied) or done.
/// </summary>
internal sealed class OutcomeWindow
{
    public const int Size = 1024;

    private const int Smallest = 8;

    private Outcome[] outcomes = [];
    private State[] states = [];

    public enum State : byte { Empty, Pending, Done }

    /// <summary>All sequences below are settled: nothing is known of them, and nothing of them may be applied.</summary>
    public long Floor { get; private set; }

    /// <summary>Slots that are not empty.</summary>
    public int Count { get; private set; }

    /// <summary>Raises the floor and forgets what falls below it.</summary>
    public void RaiseFloor(long floor)
    {
        if (floor <= Floor)
        {
            return;
        }

        long end = Math.Min(floor, Floor + states.Length);
        for (long sequence = Floor; sequence < end; sequence++)
        {
            ref State slot = ref states[sequence & (states.Length - 1)];
            Count -= slot == State.Empty ? 0 : 1;
            slot = State.Empty;
        }

        Floor = floor;
    }

    /// <summary>State of a sequence of the window; empty outside of it.</summary>
    public State Find(long sequence, out Outcome outcome)
    {
        outcome = default;
        if (sequence < Floor || sequence - Floor >= states.Length)
        {
            return State.Empty;
        }

        long at = sequence & (states.Length - 1);
        outcome = outcomes[at];
        return states[at];
    }

    /// <summary>Sets the slot of a sequence of the window.</summary>
    public void Set(long sequence, State state, in Outcome outcome)
    {
        if (sequence < Floor || sequence - Floor >= Size)
        {
            throw new ArgumentOutOfRangeException(nameof(sequence), $"{sequence} is not in the window that begins at {Floor}");
        }

        Grow((int)(sequence - Floor) + 1);
        long at = sequence & (states.Length - 1);
        Count += states[at] == State.Empty ? 1 : 0;
        states[at] = state;
        outcomes[at] = outcome;
    }

    private void Grow(int needed)
    {
        if (needed <= states.Length)
        {
            return;
        }

        int size = Smallest;
        while (size < needed)
        {
            size *= 2;
        }

        var newStates = new State[size];
        var newOutcomes = new Outcome[size];
        for (long sequence = Floor; sequence < Floor + states.Length; sequence++)
        {
            newStates[sequence & (size - 1)] = states[sequence & (states.Length - 1)];
            newOutcomes[sequence & (size - 1)] = outcomes[sequence & (states.Length - 1)];
        }

        states = newStates;
        outcomes = newOutcomes;
    }

    /// <summary>End of the part of the window that can hold anything.</summary>
    public long End => Floor + states.Length;
}
