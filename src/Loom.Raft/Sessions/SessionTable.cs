using Loom.Raft.Proposals;

namespace Loom.Raft.Sessions;

/// <summary>
/// Which proposals were already applied (P1, P2): replicated state beside the application's, fed with every committed entry in order, the same on every replica.
/// Use, per committed entry: <see cref="Advance"/> with its cluster time, then <see cref="Open"/> for an OpenSession entry or <see cref="Decide"/> for a Command;
/// after the batch was applied, <see cref="Record"/> for each that was to Apply. How entries are cut into batches changes nothing: what is decided counts from then on,
/// its outcome alone comes later.
/// </summary>
internal sealed class SessionTable
{
    public const int MaxSessions = 4096;
    public const int MaxOutcomes = 262_144;
    public const long LifetimeNanoseconds = 3_600_000_000_000;

    private readonly int maxSessions;
    private readonly int maxOutcomes;

    /// <summary>Ascending by id: ids are log indexes, so a new one goes to the end.</summary>
    private readonly List<Session> sessions = [];
    private Session? oldest;
    private Session? newest;
    private int outcomes;
    private long lastIndex;

    public SessionTable()
        : this(MaxSessions, MaxOutcomes)
    {
    }

    /// <summary>With smaller limits, for tests.</summary>
    internal SessionTable(int maxSessions, int maxOutcomes)
    {
        this.maxSessions = maxSessions;
        this.maxOutcomes = maxOutcomes;
    }

    /// <summary>Sessions that are open.</summary>
    public int Count => sessions.Count;

    /// <summary>Outcomes that are kept, of all sessions.</summary>
    public int OutcomeCount => outcomes;

    /// <summary>Ends the sessions that were unused for an hour of cluster time (P2). For every entry, whatever its kind.</summary>
    public void Advance(long clusterTime)
    {
        // Cluster time never decreases, so the order of last use is the order of expiry.
        while (oldest is not null && clusterTime - oldest.LastUsed > LifetimeNanoseconds)
        {
            End(oldest);
        }
    }

    /// <summary>Opens the session whose id is <paramref name="index"/>, and ends the one unused longest if there are too many.</summary>
    public void Open(long index, long clusterTime, in SessionOwner owner)
    {
        Follow(index);
        Advance(clusterTime);
        if (sessions.Count >= maxSessions)
        {
            End(oldest!);
        }

        Insert(new Session(index, owner) { LastUsed = clusterTime });
    }

    /// <summary>Decides about a proposal; raises the floor of its session. Deciding the same entry again (after Wait) is harmless.</summary>
    public SessionDecision Decide(long index, long clusterTime, ProposalId id, long floor)
    {
        Follow(index);
        Advance(clusterTime);
        Session? session = FindSession(id.Session);
#if LOOM_MUTATIONS
        if (session is null && Diagnostics.Mutations.On("P1-create-session-by-use"))
        {
            session = new Session(id.Session, default) { LastUsed = clusterTime };
            Insert(session);
        }
#endif
        if (session is null)
        {
            return new SessionDecision(SessionVerdict.SessionExpired);
        }

        Use(session, clusterTime);
        RaiseFloor(session, floor);
        SessionDecision decision = Look(session, id.Sequence);
        if (decision.Verdict == SessionVerdict.Apply)
        {
            Reserve(session, id.Sequence);
        }

        return decision;
    }

    /// <summary>Keeps the outcome of a proposal whose verdict was Apply, unless its session ended or its floor passed it meanwhile.</summary>
    public void Record(ProposalId id, in Outcome outcome)
    {
        Session? session = FindSession(id.Session);
        if (session is not null && session.Window.Find(id.Sequence, out _) == OutcomeWindow.State.Pending)
        {
            session.Window.Set(id.Sequence, OutcomeWindow.State.Done, outcome);
        }
    }

    /// <summary>P3, after a snapshot install: Repeat with its outcome, StaleSequence, SessionExpired; null when absent (keep waiting).</summary>
    public SessionDecision? Find(ProposalId id)
    {
        Session? session = FindSession(id.Session);
        if (session is null)
        {
            return new SessionDecision(SessionVerdict.SessionExpired);
        }

        SessionDecision decision = Look(session, id.Sequence);
        return decision.Verdict is SessionVerdict.Repeat or SessionVerdict.StaleSequence ? decision : null;
    }

    /// <summary>The first session that this owner opened, or 0. A duplicate of the opening entry opened a second one, which nobody uses (P2).</summary>
    public long FindSession(in SessionOwner owner)
    {
        foreach (Session session in sessions)
        {
            if (session.Owner == owner)
            {
                return session.Id;
            }
        }

        return 0;
    }

    /// <summary>Canonical bytes, for snapshots. Nothing may be pending.</summary>
    public byte[] Serialize() => SessionTableCodec.Encode(oldest, sessions.Count, outcomes);

    /// <summary>Replaces the content by <see cref="Serialize"/>d bytes.</summary>
    public void Deserialize(ReadOnlySpan<byte> bytes)
    {
        List<Session> read = SessionTableCodec.Decode(bytes);
        sessions.Clear();
        oldest = newest = null;
        outcomes = 0;
        lastIndex = 0;

        // They come in the order of last use, which is the order of the list; the table itself is sorted by id.
        foreach (Session session in read)
        {
            outcomes += session.Window.Count;
            Insert(session);
        }
    }

    /// <summary>128-bit hash of the canonical bytes.</summary>
    public UInt128 Hash() => Diagnostics.StableHash.Of(Serialize());

    private static SessionDecision Look(Session session, long sequence)
    {
#if LOOM_MUTATIONS
        if (Diagnostics.Mutations.On("P1-last-sequence-dedup"))
        {
            return sequence <= session.LastSequence ? new SessionDecision(SessionVerdict.Repeat) : new SessionDecision(SessionVerdict.Apply);
        }

        if (Diagnostics.Mutations.On("P1-no-dedup") && sequence >= session.Window.Floor && sequence - session.Window.Floor < OutcomeWindow.Size)
        {
            return new SessionDecision(SessionVerdict.Apply);
        }

        if (Diagnostics.Mutations.On("P1-stale-is-applied") && sequence < session.Window.Floor)
        {
            return new SessionDecision(SessionVerdict.Apply);
        }
#endif
        if (sequence < session.Window.Floor)
        {
            return new SessionDecision(SessionVerdict.StaleSequence);
        }

        if (sequence - session.Window.Floor >= OutcomeWindow.Size)
        {
            return new SessionDecision(SessionVerdict.BeyondWindow);
        }

        return session.Window.Find(sequence, out Outcome outcome) switch
        {
            OutcomeWindow.State.Done => new SessionDecision(SessionVerdict.Repeat, outcome),
            OutcomeWindow.State.Pending => new SessionDecision(SessionVerdict.Wait),
            _ => new SessionDecision(SessionVerdict.Apply),
        };
    }

    private void Follow(long index)
    {
        if (index < lastIndex)
        {
            throw new InvalidOperationException($"entry {index} comes after entry {lastIndex}: sessions follow the log's order");
        }

        lastIndex = index;
    }

    private void RaiseFloor(Session session, long floor)
    {
        int before = session.Window.Count;
        session.Window.RaiseFloor(floor);
        outcomes -= before - session.Window.Count;
    }

    /// <summary>A decided sequence counts at once, so that who ends for room does not depend on how entries are batched.</summary>
    private void Reserve(Session session, long sequence)
    {
#if LOOM_MUTATIONS
        session.LastSequence = Math.Max(session.LastSequence, sequence);
        if (sequence < session.Window.Floor || sequence - session.Window.Floor >= OutcomeWindow.Size)
        {
            return;
        }
#endif
        while (outcomes >= maxOutcomes && oldest != session)
        {
            End(oldest!);
        }

        int before = session.Window.Count;
        session.Window.Set(sequence, OutcomeWindow.State.Pending, default);
        outcomes += session.Window.Count - before;
    }

    private Session? FindSession(long id)
    {
        int at = PlaceOf(id);
        return at < sessions.Count && sessions[at].Id == id ? sessions[at] : null;
    }

    /// <summary>Place of the first session whose id is not smaller.</summary>
    private int PlaceOf(long id)
    {
        int low = 0;
        int high = sessions.Count;
        while (low < high)
        {
            int middle = (low + high) / 2;
            if (sessions[middle].Id < id)
            {
                low = middle + 1;
            }
            else
            {
                high = middle;
            }
        }

        return low;
    }

    private void Insert(Session session)
    {
        sessions.Insert(PlaceOf(session.Id), session);
        LinkNewest(session);
    }

    private void End(Session session)
    {
        outcomes -= session.Window.Count;
        sessions.RemoveAt(PlaceOf(session.Id));
        Unlink(session);
    }

    private void Use(Session session, long clusterTime)
    {
        session.LastUsed = clusterTime;
        if (newest != session)
        {
            Unlink(session);
            LinkNewest(session);
        }
    }

    private void LinkNewest(Session session)
    {
        session.Older = newest;
        session.Newer = null;
        if (newest is not null)
        {
            newest.Newer = session;
        }

        newest = session;
        oldest ??= session;
    }

    private void Unlink(Session session)
    {
        if (session.Older is null)
        {
            oldest = session.Newer;
        }
        else
        {
            session.Older.Newer = session.Newer;
        }

        if (session.Newer is null)
        {
            newest = session.Older;
        }
        else
        {
            session.Newer.Older = session.Older;
        }

        session.Older = session.Newer = null;
    }
}
