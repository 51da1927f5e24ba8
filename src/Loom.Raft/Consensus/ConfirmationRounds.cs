namespace Loom.Raft.Consensus;

/// <summary>
/// Rounds by which a leader proves that it still leads: each has a number and a time of sending; a round is confirmed once a CommitQuorum answered it or a later one.
/// ReadIndex, check-quorum and cluster time stand on them. Numbers never start again in one process.
/// </summary>
internal sealed class ConfirmationRounds
{
    private const int Remembered = 256;

    private readonly long[] sentAt = new long[Remembered];

    /// <summary>The newest round that was sent.</summary>
    public long Sent { get; private set; }

    /// <summary>The newest round that is confirmed in this term.</summary>
    public long Confirmed { get; private set; }

    public long LastSentAt => sentAt[Sent % Remembered];

    public bool AllConfirmed => Confirmed >= Sent;

    /// <summary>A new term: answers to rounds of an older one say nothing about it.</summary>
    public void Begin(long now)
    {
        Start(now);
        Confirmed = Sent - 1;
    }

    public long Start(long now)
    {
        Sent++;
        sentAt[Sent % Remembered] = now;
        return Sent;
    }

    public bool Confirm(long round)
    {
        if (round <= Confirmed)
        {
            return false;
        }

        Confirmed = Math.Min(round, Sent);
        return true;
    }

    /// <summary>Time since the round was sent, or -1 if that is forgotten.</summary>
    public long Age(long round, long now) => round <= 0 || round > Sent || Sent - round >= Remembered ? -1 : now - sentAt[round % Remembered];
}
