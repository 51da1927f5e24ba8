using Loom.Store.Commands;
using Loom.Store.Model;

namespace Loom.Store.Tests.Machine;

/// <summary>A lease of the plain model: its time to live in seconds, and when it is due, in ns.</summary>
internal sealed record NaiveLease(long Seconds, long Due);

/// <summary>
/// The store as plainly as it can be said: the whole state at every revision, copied. Written from the rules, not from the code it checks:
/// no index, no records, no overlay, strings for keys.
/// </summary>
internal sealed class NaiveStore
{
    private readonly Dictionary<long, SortedDictionary<string, KeyValue>> history = new() { [1] = new(StringComparer.Ordinal) };

    private readonly List<WatchEvent> staged = [];

    public long Revision { get; private set; } = 1;

    /// <summary>Everything that happened, in order.</summary>
    public List<WatchEvent> Events { get; } = [];

    public long Compacted { get; private set; } = -1;

    private readonly HashSet<(AlarmKind, ulong)> alarms = [];

    /// <summary>1 when the alarm is or was active.</summary>
    public long Alarm(bool raises, Alarm alarm)
    {
        bool changed = raises ? alarms.Add((alarm.Kind, alarm.Member)) : alarms.Remove((alarm.Kind, alarm.Member));
        return raises || changed ? 1 : 0;
    }

    /// <summary>By id.</summary>
    public SortedDictionary<long, NaiveLease> Leases { get; } = [];

    /// <summary>Cluster time of the command that comes, ns.</summary>
    public long Time { get; set; }

    /// <summary>The keys that live and name the lease, in key order.</summary>
    public IEnumerable<string> KeysOf(long lease) => Now.Where(pair => pair.Value.Lease == lease).Select(pair => pair.Key);

    public LoomErrorCode Grant(long id, long seconds) => Leases.TryAdd(id, new NaiveLease(seconds, Time + (seconds * 1_000_000_000))) ? 0 : LoomErrorCode.LeaseExists;

    public LoomErrorCode Revoke(long id) => End([id]) == 1 ? 0 : LoomErrorCode.LeaseNotFound;

    public long Renew(IReadOnlyList<long> ids)
    {
        long[] there = [.. ids.Where(Leases.ContainsKey)];
        foreach (long id in there)
        {
            Leases[id] = Leases[id] with { Due = Time + (Leases[id].Seconds * 1_000_000_000) };
        }

        return there.Length;
    }

    public long Expire(IReadOnlyList<long> ids) => End([.. ids.Where(id => Leases.TryGetValue(id, out NaiveLease? lease) && lease.Due <= Time)]);

    private long End(long[] ids)
    {
        long ended = ids.Count(Leases.Remove);
        // Lease by lease, and the keys of each in key order.
        string[] keys = [.. ids.SelectMany(id => Now.Where(pair => pair.Value.Lease == id).Select(pair => pair.Key))];
        if (ended > 0 && keys.Length > 0)
        {
            Commit(state => Remove(state, keys));
        }

        return ended;
    }

    /// <summary>Whether an alarm stops a command other than an alarm.</summary>
    public LoomErrorCode Refusal(Command command)
    {
        if (command is LeaseRenewCommand)
        {
            return 0;
        }

        bool puts = command is PutCommand or LeaseGrantCommand || (command is TransactionCommand flat && flat.Transaction.Success.Concat(flat.Transaction.Failure).Any(operation => operation is PutOperation));
        return alarms.Any(alarm => alarm.Item1 == AlarmKind.Corrupt) ? LoomErrorCode.CorruptAlarm
            : puts && alarms.Any(alarm => alarm.Item1 == AlarmKind.NoSpace) ? LoomErrorCode.NoSpace
            : 0;
    }

    public LoomErrorCode Put(PutOperation put)
    {
        if (put.Lease != 0 && !Leases.ContainsKey(put.Lease))
        {
            return LoomErrorCode.LeaseNotFound;
        }

        if ((put.IgnoreValue || put.IgnoreLease) && !Now.ContainsKey(Text(put.Key)))
        {
            return LoomErrorCode.KeyNotFound;
        }

        Commit(state => Put(state, put));
        return 0;
    }

    public long Delete(KeyRange range)
    {
        long deleted = Now.Keys.Count(key => In(range, key));
        if (deleted > 0)
        {
            Commit(state => Delete(state, range));
        }

        return deleted;
    }

    public LoomErrorCode Compact(long revision)
    {
        if (revision <= Compacted)
        {
            return LoomErrorCode.Compacted;
        }

        if (revision > Revision)
        {
            return LoomErrorCode.FutureRevision;
        }

        Compacted = revision;
        return 0;
    }

    /// <summary>A flat transaction of puts and deletes. Whether the compares held; null: a put names a lease that does not exist.</summary>
    public bool? Transact(Transaction transaction)
    {
        bool held = transaction.Compares.All(compare => Holds(compare, Now));
        IReadOnlyList<Operation> branch = held ? transaction.Success : transaction.Failure;
        if (branch.Any(operation => operation is PutOperation { Lease: not 0 and long lease } && !Leases.ContainsKey(lease)))
        {
            return null;
        }

        var state = new SortedDictionary<string, KeyValue>(Now, StringComparer.Ordinal);
        bool changed = false;
        foreach (Operation operation in branch)
        {
            if (operation is PutOperation put)
            {
                Put(state, put);
                changed = true;
            }
            else if (operation is DeleteOperation delete)
            {
                changed |= Delete(state, delete.Range) > 0;
            }
        }

        if (changed)
        {
            history[++Revision] = state;
            Events.AddRange(staged);
        }

        staged.Clear();
        return held;
    }

    /// <summary>Keys, values and numbers of a range, in order; or the refusal.</summary>
    public LoomErrorCode Range(KeyRange range, long revision, out List<KeyValue> pairs)
    {
        pairs = [];
        if (revision > Revision)
        {
            return LoomErrorCode.FutureRevision;
        }

        long at = revision <= 0 ? Revision : revision;
        if (at < Compacted)
        {
            return LoomErrorCode.Compacted;
        }

        pairs = [.. history[Math.Max(at, 1)].Where(pair => In(range, pair.Key)).Select(pair => pair.Value)];
        return 0;
    }

    private SortedDictionary<string, KeyValue> Now => history[Revision];

    private void Commit(Action<SortedDictionary<string, KeyValue>> change)
    {
        var state = new SortedDictionary<string, KeyValue>(Now, StringComparer.Ordinal);
        change(state);
        history[++Revision] = state;
        Events.AddRange(staged);
        staged.Clear();
    }

    private void Put(SortedDictionary<string, KeyValue> state, PutOperation put)
    {
        string key = Text(put.Key);
        long revision = Revision + 1;
        state.TryGetValue(key, out KeyValue? old);
        state[key] = new KeyValue(put.Key, put.IgnoreValue ? old!.Value : put.Value, old?.CreateRevision ?? revision, revision, (old?.Version ?? 0) + 1, put.IgnoreLease ? old!.Lease : put.Lease);
        staged.Add(new WatchEvent(WatchEventKind.Put, state[key], Now.GetValueOrDefault(key)));
    }

    private int Delete(SortedDictionary<string, KeyValue> state, KeyRange range)
    {
        List<string> keys = [.. state.Keys.Where(key => In(range, key))];
        Remove(state, keys);
        return keys.Count;
    }

    private void Remove(SortedDictionary<string, KeyValue> state, IEnumerable<string> keys)
    {
        foreach (string key in keys)
        {
            staged.Add(new WatchEvent(WatchEventKind.Delete, new KeyValue(state[key].Key, default, 0, Revision + 1, 0, 0), Now.GetValueOrDefault(key)));
            state.Remove(key);
        }
    }

    private static bool Holds(Compare compare, SortedDictionary<string, KeyValue> state)
    {
        List<KeyValue> pairs = [.. state.Where(pair => In(compare.Range, pair.Key)).Select(pair => pair.Value)];
        if (pairs.Count == 0)
        {
            return compare.Target != CompareTarget.Value && Relates(compare.Result, 0L.CompareTo(compare.Number));
        }

        return pairs.All(pair => Relates(compare.Result, compare.Target switch
        {
            CompareTarget.Version => pair.Version.CompareTo(compare.Number),
            CompareTarget.Create => pair.CreateRevision.CompareTo(compare.Number),
            CompareTarget.Mod => pair.ModRevision.CompareTo(compare.Number),
            CompareTarget.Lease => pair.Lease.CompareTo(compare.Number),
            _ => string.CompareOrdinal(Text(pair.Value), Text(compare.Value)),
        }));
    }

    private static bool Relates(CompareResult result, int order) => result switch
    {
        CompareResult.Equal => order == 0,
        CompareResult.Greater => order > 0,
        CompareResult.Less => order < 0,
        _ => order != 0,
    };

    private static bool In(KeyRange range, string key)
    {
        string start = Text(range.Start);
        string end = Text(range.End);
        return end.Length == 0 ? key == start : string.CompareOrdinal(key, start) >= 0 && (end == "\0" || string.CompareOrdinal(key, end) < 0);
    }

    private static string Text(ReadOnlyMemory<byte> bytes) => System.Text.Encoding.Latin1.GetString(bytes.Span);
}
