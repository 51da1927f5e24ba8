using Loom.Raft;
using Loom.Raft.Consensus;
using Loom.Raft.Log;
using Loom.Raft.Membership;
using Loom.Simulation.Disk;

namespace Loom.Simulation.LogLevel;

/// <summary>The log broke a promise; the message names the seed that replays it.</summary>
internal sealed class LogViolationException(string message, Exception? inner = null) : Exception(message, inner);

/// <summary>
/// A random life of one durable log on a simulated disk, checked against a list. The model knows the stream: every record of every batch that was taken, in order.
/// After a crash the log must say what the flushed batches and some prefix of the one in flight say: nothing lost, nothing invented.
/// </summary>
internal sealed class LogModel
{
    private const string Directory = "m/raft";
    private static readonly LogIdentity Identity = new(0xC1, new MemberId(0xA1));

    private readonly ulong seed;
    private readonly SimulatedDisk disk;
    private readonly DurableLogOptions options;
    private ulong random;

    private DurableLog log = null!;
    private LogBatch? batch;
    private bool written;
    private long body;

    // What memory says (every append at once), what the flushed stream says, and the records of the batch that is out.
    private ModelState memory;
    private ModelState flushed;
    private readonly List<Action<ModelState>> inFlight = [];

    // What is known to be committed, as far as it is in the log: it is never overwritten, and a hint speaks of nothing else.
    private readonly SortedDictionary<long, Entry> committed = [];
    private long commit;

    public LogModel(ulong seed)
    {
        this.seed = random = seed;
        disk = new SimulatedDisk(seed * 31 + 7);
        options = new DurableLogOptions
        {
            SegmentBytes = 4096 * (4 + (int)Below(12)),
            ZeroFillBytes = Chance(2) ? 8192 : 0,
            BatchBytes = 1024 << (int)Below(4),
            TailBytes = Chance(2) ? 4096 : 1 << 20,
            UnappliedTailBytes = Chance(2) ? 8192 : 1 << 20,
            IndexStrideBytes = Chance(2) ? 4096 : 16384,
            SpareSegments = 1 + (int)Below(2),
        };
        memory = new ModelState(ConfigurationCodec.Encode(ConfigurationOf(0)));
        flushed = memory.Copy();
    }

    public int Crashes { get; private set; }

    public int Recycled { get; private set; }

    /// <summary>Snapshots that took the place of the whole log.</summary>
    public int Installed { get; private set; }

    public int Pauses { get; private set; }

    /// <summary>Runs a life of this many steps. Throws what went wrong.</summary>
    public void Run(int steps)
    {
        int step = 0;
        try
        {
            log = DurableLog.Create(disk, Directory, Identity, ConfigurationOf(0), Next(), options).Log;
            for (; step < steps; step++)
                Guarded(Step);
            Crash(powerCut: true);
            log.Dispose();
        }
        catch (Exception e) when (e is not LogViolationException)
        {
            throw new LogViolationException($"seed {seed}, step {step}: {e.Message}", e);
        }
    }

    private void Step()
    {
        switch (Below(40))
        {
            case < 12:
                Append(memory.Last + 1);
                break;
            case < 14:
                if (memory.Last > commit)
                    Append(commit + 1 + (long)Below((ulong)Math.Min(memory.Last - commit, 12)) + Math.Max(0, memory.Last - commit - 12));
                break;
            case < 16:
                memory.HardState = new HardState(memory.HardState.Term + (long)Below(2), new MemberId(Below(4)));
                log.SaveHardState(memory.HardState);
                break;
            case < 17:
                Commit(commit + (long)Below((ulong)(memory.Last - commit + 1)));
                break;
            case < 29:
                Advance();
                break;
            case < 32:
                Recycled += log.PrepareAhead() ? 1 : 0;
                break;
            case < 34:
                CheckRead();
                break;
            case < 35:
                log.AdvanceApplied(log.DurableIndex);
                break;
            case < 36:
                Truncate();
                break;
            case < 37:
                Install();
                break;
            case < 38:
                CheckDamage();
                break;
            default:
                Disturb();
                break;
        }
    }

    private void Append(long first)
    {
        var entries = new Entry[1 + Below(5)];
        long term = Math.Max(memory.TermAt(Math.Min(first, memory.Last)), memory.HardState.Term);
        for (int i = 0; i < entries.Length; i++)
        {
            bool configuration = Chance(9);
            byte[] bytes = configuration ? ConfigurationCodec.Encode(ConfigurationOf(++body)) : new byte[Chance(25) ? 70_000 : Below(1500)];
            if (!configuration)
                BitConverter.TryWriteBytes(bytes, ++body);
            entries[i] = new Entry(first + i, term, configuration ? EntryKind.Configuration : EntryKind.Command, body, bytes);
        }

        log.Append(entries);
        foreach (Entry entry in entries)
            memory.Append(entry);
        Expect(log.LastIndex == memory.Last, $"last index {log.LastIndex}, not {memory.Last}");
        Expect(log.DurableIndex < first, "an entry that was just written is called durable");
    }

    private void Commit(long index)
    {
        for (long i = Math.Max(commit, memory.Base) + 1; i <= index; i++)
            committed[i] = memory[i];
        commit = Math.Max(commit, index);
        log.SaveCommitHint(index);
    }

    /// <summary>One step of the writer: take, write, flush and complete.</summary>
    private void Advance()
    {
        if (batch is null)
        {
            batch = log.TakeBatch();
            written = false;
            if (batch is not null)
                Record(batch);
        }
        else if (!written)
        {
            WriteBatch();
        }
        else
        {
            batch.Flush();
            Complete(null);
        }
    }

    /// <summary>A full disk changes nothing (S6): the log has not failed, and the same batch is written when there is space.</summary>
    private void WriteBatch()
    {
        try
        {
            batch!.Write();
            written = true;
        }
        catch (NoSpaceException)
        {
            Pauses++;
            Expect(disk.CapacityBytes == 0 && log.Failure is null && batch!.Sequence > log.DurableSequence, "there is space, or the log takes a pause for an end");
            if (Chance(3))
                disk.CapacityBytes = long.MaxValue;
        }
    }

    private void Complete(Exception? error)
    {
        long sequence = batch!.Sequence;
        batch = null;
        log.Completed(sequence, error);
        if (error is not null)
            return;
        foreach (Action<ModelState> record in inFlight)
            record(flushed);
        inFlight.Clear();
        long durable = flushed.CommonPrefix(memory);
        if (durable < memory.Base)
            Expect(log.DurableIndex < memory.Base, $"the log calls {log.DurableIndex} durable, but the snapshot that it goes on from, at {memory.Base}, is not flushed");
        else
            Expect(log.DurableIndex == durable, $"after batch {sequence} the log calls {log.DurableIndex} durable, but the flushed stream agrees up to {durable}");
    }

    /// <summary>What the batch is about to put into the stream, in the order of the rule (L8): a term before the entries that follow it.</summary>
    private void Record(LogBatch taken)
    {
        int mark = 0;
        for (int i = 0; i <= taken.Entries.Count; i++)
        {
            for (; mark < taken.Marks.Count && taken.Marks[mark].Before <= i; mark++)
            {
                LogMark found = taken.Marks[mark];
                inFlight.Add(found.Kind switch
                {
                    RecordKind.HardState => s => s.HardState = found.HardState,
                    RecordKind.Base => s => s.MoveBase(found.Index),
                    _ => s => s.Install(found.Index, found.Term, found.Snapshot!),
                });
            }

            if (i < taken.Entries.Count)
            {
                Entry entry = taken.Entries[i];
                inFlight.Add(s => s.Append(entry));
            }
        }
    }

    private void Truncate()
    {
        if (log.DurableIndex < memory.Base)
            return;
        long index = memory.Base + (long)Below((ulong)(log.DurableIndex - memory.Base + 1));
        Commit(index);
        log.TruncateBelow(index);
        memory.MoveBase(index);
        Expect(log.BaseIndex == memory.Base && log.TermAt(index) == memory.TermAt(index), "the base is another");
    }

    /// <summary>A snapshot that the log holds (it keeps what follows), contradicts, or does not reach. The term before it in the stream, as the core has it (S3).</summary>
    private void Install()
    {
        long index = commit + 1 + (long)Below((ulong)(memory.Last - commit) + 6);
        bool held = index <= memory.Last && Chance(2);
        long term = held ? memory.TermAt(index) : Math.Max(memory.HardState.Term, memory.TermAt(Math.Min(index, memory.Last))) + 1;
        if (term > memory.HardState.Term)
        {
            memory.HardState = new HardState(term, MemberId.None);
            log.SaveHardState(memory.HardState);
        }

        var configuration = new ConfigurationAt(index - (long)Below(3), ConfigurationOf(++body));
        var snapshot = new SnapshotBase(++body, configuration.Index, ConfigurationCodec.Encode(configuration.Configuration));
        log.Install(index, term, configuration, snapshot.ClusterTime);
        if (held)
        {
            Commit(index);
            memory.MoveBase(index);
        }
        else
        {
            Installed++;
            memory.Install(index, term, snapshot);
            Commit(index);
            Expect(log.DurableIndex < index, "a snapshot is called durable before its place in the log is flushed");
        }

        Expect(log.BaseIndex == memory.Base && log.LastIndex == memory.Last && log.TermAt(index) == term, "the base is another");
    }

    private void CheckRead()
    {
        if (memory.Last == memory.Base)
            return;
        long from = memory.Base + 1 + (long)Below((ulong)(memory.Last - memory.Base));
        long to = Math.Min(memory.Last, from + (long)Below(40));
        long maxBytes = Chance(2) ? (long)Below(3000) : long.MaxValue / 2;
        IReadOnlyList<Entry> read = log.Read(from, to, maxBytes);
        Expect(read.Count > 0, "a read returns nothing");
        long bytes = 0;
        for (int i = 0; i < read.Count; i++)
        {
            bytes += read[i].Body.Length;
            Expect(memory.Holds(read[i]) && read[i].Index == from + i, $"entry {from + i} is read as another");
        }

        Expect(read.Count == 1 || bytes <= maxBytes, "a read is larger than allowed");
        long next = from + read.Count;
        Expect(next > to || bytes + memory[next].Body.Length > maxBytes, $"a read stops at {next}, before its bound");
    }

    private static List<Entry> ReadAll(DurableLog log)
    {
        List<Entry> entries = [];
        while (log.BaseIndex + entries.Count < log.LastIndex)
            entries.AddRange(log.Read(log.BaseIndex + entries.Count + 1, log.LastIndex, 100_000));
        return entries;
    }

    /// <summary>A bit flips on a stopped member's disk, somewhere in the log: refused, or without any effect (a spare, padding, the older slot, an unflushed tail).</summary>
    private void CheckDamage()
    {
        if (batch is not null)
            return;
        SimulatedDisk damaged = disk.Clone(Next());
        damaged.CapacityBytes = long.MaxValue;
        IReadOnlyList<string> names = damaged.ListFiles(Directory);
        string path = $"{Directory}/{names[(int)Below((ulong)names.Count)]}";
        int length = damaged.ReadAll(path).Length;
        if (length == 0)
            return;
        if (Chance(3))
            damaged.Cut(path, (long)Below((ulong)length));
        else
            damaged.FlipBit(path, (long)Below((ulong)length), (int)Below(8));
        try
        {
            RecoveredLog recovered = DurableLog.Open(damaged, Directory, Identity, Next(), options);
            using DurableLog opened = recovered.Log;
            Expect(flushed.Matches(recovered, ReadAll(opened)), $"a damaged {path} opens as another log");
        }
        catch (RaftException)
        {
            // Refused, by name.
        }
    }

    private void Disturb()
    {
        switch (Below(8))
        {
            case 7:
                disk.CapacityBytes = disk.CapacityBytes == 0 ? long.MaxValue : 0;
                break;
            case 6:
                Rest();
                break;
            case 0:
                if (batch is not null)
                    goto case 1;
                log.Dispose();
                disk.CapacityBytes = long.MaxValue;
                Reopen();
                break;
            case 1:
                Crash(powerCut: false);
                break;
            case 2:
                // After a kill the log reports what the page cache held: from then on that must survive a power cut (L5).
                Crash(powerCut: false);
                Crash(powerCut: true);
                break;
            case 3:
                disk.CrashAfter((long)Below(6));
                break;
            case 4:
                FailNextFlush();
                break;
            default:
                Crash(powerCut: true);
                break;
        }
    }

    /// <summary>Everything leaves the log, and the member starts again with nothing new but terms: all that is known comes from restatements (L6).</summary>
    private void Rest()
    {
        for (int i = 0; i < 3; i++)
        {
            while (batch is not null || log.HasWork)
                Advance();
            if (i == 0)
            {
                Commit(memory.Last);
                log.TruncateBelow(memory.Last);
                memory.MoveBase(memory.Last);
            }
            else
            {
                while (log.PrepareAhead())
                {
                }

                Crash(powerCut: true);
            }

            memory.HardState = new HardState(memory.HardState.Term + 1, MemberId.None);
            log.SaveHardState(memory.HardState);
        }
    }

    /// <summary>The disk refuses one flush (EIO) and drops what it had not written, as kernels do; asked again it would say yes (L1).</summary>
    private void FailNextFlush()
    {
        bool failed = false;
        disk.Fault = (operation, _) =>
        {
            if (failed || operation is not (DiskOperation.Flush or DiskOperation.FlushDirectory))
                return;
            failed = true;
            throw new IOException("Input/output error (errno 5)");
        };
        for (int i = 0; i < 12 && !failed; i++)
            Guarded(Advance);
        disk.Fault = null;
        if (Chance(2))
            Crash(powerCut: true);
    }

    /// <summary>Runs an operation into which a crash or an I/O error may fall.</summary>
    private void Guarded(Action operation)
    {
        int crashes = Crashes;
        try
        {
            operation();
        }
        catch (SimulatedCrashException)
        {
            Crash(powerCut: Chance(2));
        }
        catch (IOException e)
        {
            if (batch is not null)
                Complete(e);
            Expect(log.Failure is not null && log.TakeBatch() is null, $"a log that failed goes on: {e}");
            // Started again at once, as systemd does, it reads what the page cache still shows of the failed flush.
            if (crashes == Crashes)
                Crash(powerCut: Chance(2));
        }
    }

    private void Crash(bool powerCut)
    {
        Crashes++;
        for (; ; powerCut = Chance(2))
        {
            if (powerCut)
                disk.PowerCut();
            else
                disk.Kill();
            if (Chance(4))
                disk.CrashAfter((long)Below(20));
            try
            {
                Reopen();
                disk.CrashAfter(long.MaxValue);
                return;
            }
            catch (NoSpaceException)
            {
                disk.CapacityBytes = long.MaxValue;
            }
            catch (Exception e) when (e is SimulatedCrashException or IOException)
            {
                // Another crash, or an I/O error, while it opened: the next start tries again.
            }
        }
    }

    private void Reopen()
    {
        batch = null;
        RecoveredLog recovered = DurableLog.Open(disk, Directory, Identity, Next(), options);
        log = recovered.Log;
        ModelState candidate = flushed.Copy();
        List<Entry> entries = ReadAll(log);
        ModelState? found = candidate.Matches(recovered, entries) ? candidate.Copy() : null;
        foreach (Action<ModelState> record in inFlight)
        {
            record(candidate);
            if (candidate.Matches(recovered, entries))
                found = candidate.Copy();
        }

        Expect(found is not null, $"after a crash the log holds {log.BaseIndex} to {log.LastIndex} in term {recovered.HardState}; "
            + $"flushed were {flushed.Base} to {flushed.Last} in {flushed.HardState}");
        Expect(recovered.CommitHint <= log.LastIndex && log.DurableIndex == log.LastIndex, "what is reported at open is not durable");
        Expect(found!.AllCommitted(recovered.CommitHint, committed), $"the commit hint {recovered.CommitHint} calls an entry committed that never was");
        inFlight.Clear();
        memory = found;
        commit = Math.Max(memory.Base, recovered.CommitHint);
        foreach (long lost in committed.Keys.Where(i => i > commit).ToList())
            committed.Remove(lost);
        flushed = memory.Copy();
    }

    private static Configuration ConfigurationOf(long number) => new(
        PlacementGoal.Majority, [new Member(new MemberId(1), (ulong)number, "a", "east", MemberRole.Voter, ["http://127.0.0.1:2380"], [])], []);

    private void Expect(bool holds, string otherwise)
    {
        if (!holds)
            throw new LogViolationException($"seed {seed}: {otherwise}");
    }

    private bool Chance(ulong oneIn) => Below(oneIn) == 0;

    private ulong Below(ulong bound) => Next() % bound;

    private ulong Next()
    {
        ulong z = random += 0x9E3779B97F4A7C15;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }

    /// <summary>What a stream of records says.</summary>
    private sealed class ModelState(byte[] initial)
    {
        private readonly List<Entry> entries = [];
        private List<(long Index, byte[] Bytes)> configurations = [(0, initial)];
        private long baseTerm;
        private long clusterTime;

        // Which entry the base was: here an entry may be rewritten in its term, so index and term alone do not tell.
        private long baseIdentity;

        public long Base { get; private set; }

        public long Last => Base + entries.Count;

        public HardState HardState { get; set; }

        public Entry this[long index] => entries[(int)(index - Base - 1)];

        public long TermAt(long index) => index == Base ? baseTerm : this[index].Term;

        public bool Holds(Entry entry) => entry.Index > Base && entry.Index <= Last && Same(this[entry.Index], entry);

        public void Append(Entry entry)
        {
            entries.RemoveRange((int)(entry.Index - Base - 1), (int)(Last - entry.Index + 1));
            entries.Add(entry);
            clusterTime = entry.ClusterTime;
            configurations.RemoveAll(c => c.Index >= entry.Index);
            if (entry.Kind == EntryKind.Configuration)
                configurations.Add((entry.Index, entry.Body.ToArray()));
        }

        public void MoveBase(long index)
        {
            if (index > Base)
                (baseTerm, baseIdentity) = (this[index].Term, this[index].ClusterTime);
            entries.RemoveRange(0, (int)(index - Base));
            Base = index;
            int inForce = configurations.FindLastIndex(c => c.Index <= index);
            configurations.RemoveRange(0, inForce);
        }

        public void Install(long index, long term, SnapshotBase snapshot)
        {
            entries.Clear();
            (Base, baseTerm, clusterTime, baseIdentity) = (index, term, snapshot.ClusterTime, snapshot.ClusterTime);
            configurations = [(snapshot.ConfigurationIndex, snapshot.Configuration)];
        }

        public bool AllCommitted(long hint, SortedDictionary<long, Entry> committed)
        {
            for (long i = Base + 1; i <= hint; i++)
            {
                if (!committed.TryGetValue(i, out Entry known) || !Same(known, this[i]))
                    return false;
            }

            return true;
        }

        /// <summary>Up to where this agrees with a later state; below its base when it does not reach or contradicts that.</summary>
        public long CommonPrefix(ModelState other)
        {
            long at = Math.Max(Base, other.Base);
            if (at > Last || IdentityOf(at) != other.IdentityOf(at))
                return other.Base - 1;
            while (at < Last && at < other.Last && Same(this[at + 1], other[at + 1]))
                at++;
            return at;
        }

        public bool Matches(RecoveredLog recovered, List<Entry> read)
        {
            DurableLog log = recovered.Log;
            if (log.BaseIndex != Base || log.LastIndex != Last || recovered.HardState != HardState || log.TermAt(Base) != baseTerm || recovered.LastClusterTime != clusterTime
                || recovered.Configurations.Count != configurations.Count)
                return false;
            for (int i = 0; i < configurations.Count; i++)
            {
                if (recovered.Configurations[i].Index != configurations[i].Index
                    || !ConfigurationCodec.Encode(recovered.Configurations[i].Configuration).AsSpan().SequenceEqual(configurations[i].Bytes))
                    return false;
            }

            return entries.Count == read.Count && entries.Zip(read).All(pair => log.TermAt(pair.First.Index) == pair.First.Term && Same(pair.First, pair.Second));
        }

        public ModelState Copy()
        {
            ModelState copy = new([]) { Base = Base, HardState = HardState, baseTerm = baseTerm, clusterTime = clusterTime, baseIdentity = baseIdentity, configurations = [.. configurations] };
            copy.entries.AddRange(entries);
            return copy;
        }

        private long IdentityOf(long index) => index == Base ? baseIdentity : this[index].ClusterTime;

        private static bool Same(Entry x, Entry y) =>
            x.Index == y.Index && x.Term == y.Term && x.Kind == y.Kind && x.ClusterTime == y.ClusterTime && x.Body.Span.SequenceEqual(y.Body.Span);
    }
}
