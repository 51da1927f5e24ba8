using System.Buffers.Binary;
using System.IO.Hashing;
using Loom.Raft.Consensus;
using Loom.Raft.Proposals;
using Loom.Raft.Sessions;

namespace Loom.Raft.Replica;

/// <summary>
/// Applies committed entries in order: verifies each body (L10), lets the sessions decide (P1), hands the rest to the machine, folds the hash (S5).
/// Runs on the applier's thread in production and inline in the simulator; it shares nothing with the loop but the values it takes and gives.
/// A pure function of (state, entries): how the entries are cut into works changes nothing (T4).
/// </summary>
internal sealed class Applier(IReplicatedStateMachine machine, SessionTable sessions)
{
    private Decided[] decided = new Decided[256];
    private CommittedEntry[] batch = new CommittedEntry[256];
    private ApplyResult[] results = new ApplyResult[256];
    private int[] positions = new int[256];
    private ReadOnlyMemory<byte>[] payloads = new ReadOnlyMemory<byte>[256];
    private readonly List<StateMark> marks = [];
    private int gathered;

    /// <summary>Index of the last applied entry.</summary>
    public long AppliedIndex { get; private set; }

    /// <summary>Its term.</summary>
    public long AppliedTerm { get; private set; }

    /// <summary>Its cluster time (T5).</summary>
    public long ClusterTime { get; private set; }

    /// <summary>Rolling hash over everything applied (S5).</summary>
    public UInt128 ApplyHash { get; private set; }

    /// <summary>At every multiple of it the hash is marked, to be compared with the other members' (S5).</summary>
    public long MarkInterval { get; init; } = 4096;

    /// <summary>Told (index, hash) of every entry, in order: what a checker compares between replicas. Null in production.</summary>
    public Action<long, UInt128>? Observer { get; set; }

    /// <summary>Opens the machine at its newest checkpoint, with the sessions that belong to it; call once, before everything else. The log must go on from there: <see cref="OpenedState.Check"/>.</summary>
    public OpenedState Open(StateOrigin origin)
    {
        if (machine.Open(origin) is not { } found)
        {
            return default;
        }

        Restore(found.At);
        return new OpenedState(AppliedIndex, AppliedTerm, ClusterTime, ApplyHash, found.At.Index, found.PreviousIndex);
    }

    /// <summary>
    /// Begins a checkpoint of what is applied now, between two works. False: one is under way. <paramref name="completed"/> is called once, from any thread, and must only signal.
    /// It cannot be ahead of the log (L9): only what is durable here is ever applied.
    /// </summary>
    public bool BeginCheckpoint(Action<Exception?> completed) => machine.BeginCheckpoint(Position(), completed);

    /// <summary>Takes the space that applying a work may need (S6). False: there is none; ask again before applying it.</summary>
    public bool TryReserve(ApplyWork work, out string? obstacle)
    {
        var count = 0;
        if (payloads.Length < work.Entries.Count)
        {
            payloads = new ReadOnlyMemory<byte>[Math.Max(work.Entries.Count, payloads.Length * 2)];
        }

        for (var i = 0; i < work.Entries.Count; i++)
        {
            var entry = work.Entries[i];
            if (entry.Kind == EntryKind.Command && entry.Body.Length >= Envelope.HeaderBytes)
            {
                payloads[count++] = Envelope.Payload(entry.Body);
            }
        }

        var there = machine.TryReserve(payloads.AsSpan(0, count), out obstacle);
        Array.Clear(payloads, 0, count);
        return there;
    }

    /// <summary>The state as it is now, between two works; null: there is none yet.</summary>
    public IStateSnapshot? Capture() => AppliedIndex == 0 ? null : machine.CaptureSnapshot(Position());

    /// <summary>A checkpoint would give space back.</summary>
    public bool WantsCheckpoint => machine.WantsCheckpoint;

    /// <summary>Closes the machine; call once, last.</summary>
    public void Close() => machine.Close();

    /// <summary>Applies one work. An exception means that this replica is broken: report <see cref="ApplyFailed"/> (D8).</summary>
    public AppliedBatch ApplyBatch(ApplyWork work)
    {
        var entries = work.Entries;
        Reserve(entries.Count);
        gathered = 0;
        var local = 0;
        for (var i = 0; i < entries.Count; i++)
        {
            var entry = entries[i];
            if (entry.Index != AppliedIndex + 1 + i)
            {
                throw new InvalidOperationException($"entry {entry.Index} cannot be applied after entry {AppliedIndex + i}");
            }

            while (local < work.Local.Count && work.Local[local].Position < i)
            {
                local++;
            }

            Decide(i, entry, local < work.Local.Count && work.Local[local] is { WantsResult: true } mine && mine.Position == i);
        }

        ApplyGathered();
        for (var i = 0; i < entries.Count; i++)
        {
            Fold(entries[i].Index, decided[i]);
        }

        return Report(work);
    }

    /// <summary>
    /// Replaces the state by an installed one, between two works, after the log's base record is flushed (S3). Says where it stands, both checkpoints being the installed one (L9),
    /// and what its sessions know of this process's proposals.
    /// </summary>
    public SnapshotInstalled Switch(InstallWork work)
    {
        Restore(work.Installation.At);
        machine.Switch(work.Installation);
        Observer?.Invoke(AppliedIndex, ApplyHash);
        return new SnapshotInstalled(
            new OpenedState(AppliedIndex, AppliedTerm, ClusterTime, ApplyHash, AppliedIndex, AppliedIndex), SessionAnswers.Of(work.Inquiry, sessions));
    }

    private StatePosition Position()
    {
        var index = AppliedIndex;
#if LOOM_MUTATIONS
        index += Diagnostics.Mutations.On("L9-checkpoint-ahead-of-applied") ? 1 : 0;
#endif
        return new StatePosition(index, AppliedTerm, AppliedSection.Encode(ApplyHash, ClusterTime, sessions));
    }

    private void Restore(in StatePosition at)
    {
        (ApplyHash, ClusterTime) = AppliedSection.Decode(at.Section.Span, sessions);
#if LOOM_MUTATIONS
        if (Diagnostics.Mutations.On("P2-forget-sessions-at-restart"))
        {
            sessions.Deserialize(new SessionTable().Serialize());
        }
#endif
        AppliedIndex = at.Index;
        AppliedTerm = at.Term;
    }

    private void Decide(int position, in Entry entry, bool wantsResult)
    {
        sessions.Advance(entry.ClusterTime);
        ref var decision = ref decided[position];
        decision = new Decided { Verdict = ApplyVerdict.Applied };
        switch (entry.Kind)
        {
            case EntryKind.NoOp or EntryKind.Configuration:
                return;
            case EntryKind.OpenSession or EntryKind.Command:
                break;
            default:
                throw new RaftException(RaftErrorCode.Failed, $"entry {entry.Index} is of kind {(byte)entry.Kind}, which this version does not know: it was written by a newer one");
        }

        var header = Verified(entry);
        decision.Id = header.Id;
        if (entry.Kind == EntryKind.OpenSession)
        {
            var member = new MemberId(BinaryPrimitives.ReadUInt64LittleEndian(Envelope.Payload(entry.Body).Span));
            sessions.Open(entry.Index, entry.ClusterTime, new SessionOwner(member, (ulong)header.Floor, (ulong)header.Id.Sequence));
        }
        else if (MustApply(entry, header, ref decision))
        {
            positions[gathered] = position;
            batch[gathered++] = new CommittedEntry(entry.Index, entry.Term, entry.ClusterTime, entry.Kind, Envelope.Payload(entry.Body), wantsResult);
        }
    }

    private bool MustApply(in Entry entry, in EnvelopeHeader header, ref Decided decision)
    {
        var answer = sessions.Decide(entry.Index, entry.ClusterTime, header.Id, header.Floor);
        if (answer.Verdict == SessionVerdict.Wait)
        {
            // The first application stands earlier in this very batch: its outcome must be there before the repeat can be answered.
            ApplyGathered();
            answer = sessions.Decide(entry.Index, entry.ClusterTime, header.Id, header.Floor);
        }

        decision.Outcome = answer.Outcome;
        decision.Verdict = answer.Verdict switch
        {
            SessionVerdict.Apply => ApplyVerdict.Applied,
            SessionVerdict.Repeat => ApplyVerdict.Deduplicated,
            SessionVerdict.StaleSequence => ApplyVerdict.StaleSequence,
            SessionVerdict.SessionExpired => ApplyVerdict.SessionExpired,
            SessionVerdict.BeyondWindow => ApplyVerdict.BeyondWindow,
            _ => throw new InvalidOperationException($"session of entry {entry.Index} still waits for an outcome that was recorded"),
        };
        return decision.Verdict == ApplyVerdict.Applied;
    }

    private static EnvelopeHeader Verified(in Entry entry)
    {
        if (!Envelope.Verify(entry.Kind, entry.Body.Span, out var problem))
        {
            throw new RaftException(
                RaftErrorCode.Corruption,
                $"entry {entry.Index} of term {entry.Term} is damaged ({problem}): this replica cannot apply it; move its data directory away and let it rejoin as a new member");
        }

        return Envelope.ReadHeader(entry.Body.Span);
    }

    private void ApplyGathered()
    {
        if (gathered == 0)
        {
            return;
        }

        var entries = batch.AsSpan(0, gathered);
        var answers = results.AsSpan(0, gathered);
        answers.Clear();
        machine.ApplyBatch(entries, answers);
        for (var i = 0; i < gathered; i++)
        {
            ref var decision = ref decided[positions[i]];
            decision.Outcome = answers[i].Outcome;
            decision.Hash = answers[i].Hash;
            decision.Result = answers[i].Result;
            if (entries[i].Kind == EntryKind.Command)
            {
                sessions.Record(decision.Id, decision.Outcome);
            }
        }

        gathered = 0;
    }

    /// <summary>applyHash(i) = H(applyHash(i-1), index, batch hash, verdict, outcome): defined at every index, also where the machine saw nothing (S5).</summary>
    private void Fold(long index, in Decided decision)
    {
        Span<byte> bytes = stackalloc byte[72];
        bytes.Clear();
        BinaryPrimitives.WriteUInt128LittleEndian(bytes, ApplyHash);
        BinaryPrimitives.WriteInt64LittleEndian(bytes[16..], index);
        BinaryPrimitives.WriteUInt128LittleEndian(bytes[24..], decision.Hash);
        BinaryPrimitives.WriteInt32LittleEndian(bytes[40..], decision.Outcome.Code);
        BinaryPrimitives.WriteInt32LittleEndian(bytes[44..], decision.Outcome.Branch);
        BinaryPrimitives.WriteInt64LittleEndian(bytes[48..], decision.Outcome.Revision);
        BinaryPrimitives.WriteInt64LittleEndian(bytes[56..], decision.Outcome.Extra);
        bytes[64] = (byte)decision.Verdict;
        ApplyHash = XxHash128.HashToUInt128(bytes);
        AppliedIndex = index;
        Observer?.Invoke(index, ApplyHash);
        if (index % MarkInterval == 0)
        {
            marks.Add(new StateMark(index, ApplyHash));
        }
    }

    private AppliedBatch Report(ApplyWork work)
    {
        var last = work.Entries[^1];
        AppliedTerm = last.Term;
        ClusterTime = last.ClusterTime;
        var mine = work.Local.Count == 0 ? [] : new LocalOutcome[work.Local.Count];
        for (var i = 0; i < mine.Length; i++)
        {
            var position = work.Local[i].Position;
            var entry = work.Entries[position];
            ref var decision = ref decided[position];
            mine[i] = new LocalOutcome(entry.Index, entry.Term, entry.Kind, decision.Id, decision.Verdict, decision.Outcome, decision.Result);
        }

        // Answers and payloads must not live on in the scratch arrays.
        Array.Clear(decided, 0, work.Entries.Count);
        Array.Clear(batch, 0, work.Entries.Count);
        Array.Clear(results, 0, work.Entries.Count);
        StateMark[] passed = [.. marks];
        marks.Clear();
        return new AppliedBatch(last.Index, last.Term, last.ClusterTime, ApplyHash, mine, passed);
    }

    private void Reserve(int count)
    {
        if (count > decided.Length)
        {
            var size = Math.Max(count, decided.Length * 2);
            decided = new Decided[size];
            batch = new CommittedEntry[size];
            results = new ApplyResult[size];
            positions = new int[size];
        }
    }

    private struct Decided
    {
        public ProposalId Id;
        public ApplyVerdict Verdict;
        public Outcome Outcome;
        public UInt128 Hash;
        public object? Result;
    }
}
