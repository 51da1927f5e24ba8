namespace Loom.Raft.Consensus;

/// <summary>
/// When a follower or candidate loses patience. Normally a random time in (E, 2E] (E3). After its leader's process was seen to die (E2) it is in a hurry:
/// the survivors go one after the other, a fraction of a heartbeat apart, and an attempt that failed (the others may not have seen the death yet, or the vote
/// was split) is repeated after tens of milliseconds, doubling until it is no faster than the normal way.
/// </summary>
internal sealed class ElectionTimer(CoreState state)
{
    private const int NoHurry = -1;

    private int hurriedAttempts = NoHurry;

    public long Deadline { get; private set; }

    public bool IsDue => state.Now >= Deadline;

    private bool Hurried => hurriedAttempts != NoHurry;

    private long Quarter => Math.Max(1, state.Options.HeartbeatNanoseconds / 4);

    /// <summary>A leader was heard, or a vote was given: wait in (E, 2E].</summary>
    public void Restart()
    {
        hurriedAttempts = NoHurry;
        Deadline = state.Now + state.ElectionTimeout + 1 + state.Random.Below(state.ElectionTimeout);
    }

    /// <summary>The leader's process died: the first in rank goes at once, the others give it a head start.</summary>
    public void Hurry(int rank)
    {
        hurriedAttempts = 0;
        Deadline = state.Now + (rank == 0 ? 0 : (rank * Quarter) + state.Random.Below(Quarter));
    }

    /// <summary>Waiting for answers to pre-votes, which cost nothing: ask again soon, for a sticky voter does not answer.</summary>
    public void AwaitPreVotes()
    {
        if (!TryHurryAgain())
        {
            Deadline = state.Now + (state.ElectionTimeout / 4) + 1 + state.Random.Below((state.ElectionTimeout / 4) + 1);
        }
    }

    /// <summary>Waiting for votes, or beaten: the next try may be a split vote again, so spread it wide (E3).</summary>
    public void AwaitVotes()
    {
        if (!TryHurryAgain())
        {
            Restart();
        }
    }

    private bool TryHurryAgain()
    {
        if (!Hurried)
        {
            return false;
        }

        long wait = Quarter << Math.Min(hurriedAttempts, 16);
        if (wait >= state.ElectionTimeout)
        {
            hurriedAttempts = NoHurry;
            return false;
        }

        hurriedAttempts++;
        Deadline = state.Now + wait + state.Random.Below(wait);
        return true;
    }
}
