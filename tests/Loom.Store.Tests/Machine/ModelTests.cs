using CsCheck;
using Loom.Raft.Consensus;
using Loom.Raft.Replica;
using Loom.Raft.Sessions;
using Loom.Store.Applying;
using Loom.Store.Commands;
using Loom.Store.Leases;
using Loom.Store.Model;
using Loom.Store.Mvcc;
using Loom.Store.Reads;
using Loom.Testing;
using NUnit.Framework;

namespace Loom.Store.Tests.Machine;

/// <summary>
/// Random commands, applied in batches of random size to the machine over the slab index, against <see cref="NaiveStore"/>: every outcome, then every range at every revision,
/// with compactions in between that are trimmed in random steps. A second machine that was asked for no answers must have the same hashes (T4).
/// </summary>
internal sealed class ModelTests
{
    private static readonly Gen<byte[]> Key = Gen.Int[1, 3].SelectMany(length => Gen.Int[0, 3].Select(i => (byte)(i == 0 ? 0x61 : i == 1 ? 0x62 : i == 2 ? 0xFF : 0)).Array[length]);
    private static readonly Gen<byte[]> Value = Gen.Byte[1, 2].Array[0, 2];

    internal static readonly Gen<KeyRange> Range = Gen.OneOf(
        Key.Select(key => KeyRange.Single(key)),
        Gen.Select(Key, Key, (start, end) => new KeyRange(start, end)),
        Key.Select(key => KeyRange.From(key)),
        Key.Select(key => KeyRange.Prefix(key)));

    // Three leases, so that they are met again; mostly none.
    private static readonly Gen<long> Lease = Gen.Int[0, 8].Select(i => i is >= 1 and <= 3 ? (long)i : 0);
    private static readonly Gen<long[]> Leases = Gen.Int[0, 7].Select(bits => (long[])[.. Enumerable.Range(0, 3).Where(i => (bits >> i & 1) != 0).Select(i => (long)i + 1)]);

    // Of every entry.
    private const long Term = 3;

    /// <summary>From one command to the next.</summary>
    private const long Pause = 700_000_000;

    private static readonly Gen<Operation> Write = Gen.OneOf(
        Gen.Select(Key, Value, Lease, (key, value, lease) => (Operation)new PutOperation(key, value) { Lease = lease }),
        Range.Select(range => (Operation)new DeleteOperation(range)));

    private static readonly Gen<Compare> Condition = Gen.Select(Range, Gen.Int[0, 4], Gen.Int[0, 3], Gen.Long[0, 6], Value, (range, target, result, number, value) =>
        new Compare(range, (CompareTarget)target, (CompareResult)result, number, value));

    internal static readonly Gen<Command> Any = Gen.Frequency(
        (6, Gen.Select(Key, Value, Gen.Bool, Lease, (key, value, keep, lease) => (Command)new PutCommand(new PutOperation(key, keep ? default : value) { IgnoreValue = keep, PreviousPair = true, Lease = lease }))),
        (1, Gen.Select(Key, Value, (key, value) => (Command)new PutCommand(new PutOperation(key, value) { IgnoreLease = true }))),
        (2, Gen.Select(Gen.Long[1, 3], Gen.Long[1, 6], (id, seconds) => (Command)new LeaseGrantCommand(id, seconds))),
        (1, Gen.Long[1, 3].Select(id => (Command)new LeaseRevokeCommand(id))),
        (1, Leases.Select(ids => (Command)new LeaseRenewCommand(ids))),
        (2, Gen.Select(Gen.Int[0, 4], Leases, (other, ids) => (Command)new LeaseExpireCommand(other == 0 ? Term - 1 : Term, ids))),
        (2, Range.Select(range => (Command)new DeleteCommand(new DeleteOperation(range)))),
        (3, Gen.Select(Condition.Array[0, 2], Write.Array[0, 4], Write.Array[0, 4], (compares, success, failure) => (Command)new TransactionCommand(new Transaction(compares, success, failure)))),
        (1, Gen.Long[0, 40].Select(revision => (Command)new CompactCommand(revision))),
        (1, Gen.Select(Gen.Int[1, 3], Gen.ULong[1, 2], Gen.Bool, (kind, member, raises) => (Command)new AlarmCommand(raises, new Alarm((AlarmKind)kind, member)))));

    [Test]
    public void The_machine_answers_as_a_plain_model_at_every_revision() =>
        Gen.Select(Any.Array[1, 60], Gen.Int[1, 9], Range.Array[6]).Sample(
            (commands, batch, ranges) => Check(commands, batch, ranges), iter: 80, threads: 1);

    private static bool Check(Command[] commands, int batch, KeyRange[] ranges)
    {
        var model = new NaiveStore();
        using var machine = new LoomStateMachine(new KeyIndex(), new MemoryRecordStore());
        using var silent = new LoomStateMachine(new KeyIndex(), new MemoryRecordStore());
        machine.Open(default);
        silent.Open(default);
        for (int from = 0; from < commands.Length; from += batch)
        {
            Command[] part = commands[from..Math.Min(commands.Length, from + batch)];
            ApplyResult[] results = Apply(machine, part, from, wantsResult: true);
            ApplyResult[] quiet = Apply(silent, part, from, wantsResult: false);
            for (int i = 0; i < part.Length; i++)
            {
                Same(part[i], model, results[i]);
                Assert.That((quiet[i].Outcome, quiet[i].Hash, quiet[i].Result), Is.EqualTo((results[i].Outcome, results[i].Hash, (object?)null)));
            }

            machine.TrimStep(from % 3);
            SameReads(model, machine, ranges);
            SameLeases(model, machine);
        }

        while (machine.TrimStep(2))
        {
        }

        SameReads(model, machine, ranges);
        return new LocalReads(machine).Hash(0) == new LocalReads(silent).Hash(0);
    }

    internal static ApplyResult[] Apply(LoomStateMachine machine, Command[] commands, int from, bool wantsResult)
    {
        CommittedEntry[] entries = [.. commands.Select((command, i) => new CommittedEntry(from + i + 1, Term, (from + i + 1) * Pause, EntryKind.Command, CommandWriter.Encode(command), wantsResult))];
        var results = new ApplyResult[entries.Length];
        machine.ApplyBatch(entries, results);
        return results;
    }

    internal static void Same(Command command, NaiveStore model, ApplyResult result)
    {
        LoomErrorCode code = 0;
        long extra = 0;
        int branch = 0;
        model.Time += Pause;
        switch (command)
        {
            case AlarmCommand alarm:
                extra = model.Alarm(alarm.Raises, alarm.Alarm);
                break;
            case TransactionCommand refused when Loom.Store.Machine.RequestChecks.Check(refused.Transaction) is { } fault:
                code = fault.Code; // duplicates: the transcripts know that rule
                break;
            case not null when model.Refusal(command) is var refusal and not 0:
                code = refusal;
                break;
            case PutCommand put:
                code = model.Put(put.Put);
                break;
            case LeaseGrantCommand grant:
                code = model.Grant(grant.Id, grant.Seconds);
                break;
            case LeaseRevokeCommand revoke:
                code = model.Revoke(revoke.Id);
                extra = code == 0 ? 1 : 0;
                break;
            case LeaseRenewCommand renew:
                extra = model.Renew(renew.Ids);
                break;
            case LeaseExpireCommand expire:
                extra = model.Expire(expire.Term == Term ? expire.Ids : []);
                break;
            case DeleteCommand delete:
                extra = model.Delete(delete.Delete.Range);
                break;
            case CompactCommand compact:
                code = model.Compact(compact.Revision);
                break;
            case TransactionCommand transaction:
                bool? held = model.Transact(transaction.Transaction);
                code = held is null ? LoomErrorCode.LeaseNotFound : 0;
                branch = held == true ? 1 : 0;
                break;
        }

        Assert.That(result.Outcome, Is.EqualTo(new Outcome((int)code, branch, model.Revision, extra)));
    }

    internal static void SameReads(NaiveStore model, LoomStateMachine machine, KeyRange[] ranges)
    {
        var reads = new LocalReads(machine);
        for (long revision = 0; revision <= model.Revision + 1; revision++)
        {
            foreach (KeyRange range in ranges)
            {
                LoomErrorCode expected = model.Range(range, revision, out List<KeyValue> pairs);
                Assert.That(reads.Range(new RangeQuery(range) { Revision = revision }, out RangeResult? result), Is.EqualTo(expected));
                if (result is not null)
                {
                    Assert.That(result.Pairs.Select(Text), Is.EqualTo(pairs.Select(Text)));
                    reads.Range(new RangeQuery(range) { Revision = revision, Limit = 1 }, out RangeResult? first);
                    Assert.That((first!.Count, first.More, first.Pairs.Count), Is.EqualTo((pairs.Count, pairs.Count > 1, Math.Min(1, pairs.Count))));
                }
            }
        }
    }

    /// <summary>The table against the model, and against the records: what the table attaches is what the newest versions name.</summary>
    internal static void SameLeases(NaiveStore model, LoomStateMachine machine)
    {
        (LeaseTerms terms, string[] keys, int count) = machine.ReadLeases((table, _) =>
            (table.Terms(), table.Terms().All.Select(term => $"{term.Id}: {string.Join(' ', table.KeysOf(term.Id).Select(key => Convert.ToHexString(key.Span)))}").ToArray(), table.Keys));
        Assert.That(terms.All, Is.EqualTo(model.Leases.Select(pair => new LeaseTerm(pair.Key, pair.Value.Seconds, pair.Value.Due)).OrderBy(term => term.Expiry).ThenBy(term => term.Id)));
        Assert.That(keys, Is.EqualTo(terms.All.Select(term => $"{term.Id}: {string.Join(' ', model.KeysOf(term.Id).Select(key => Convert.ToHexString(System.Text.Encoding.Latin1.GetBytes(key))))}")));
        Assert.That(count, Is.EqualTo(model.Leases.Keys.Sum(id => model.KeysOf(id).Count())));
        Assert.That((machine.Leases, machine.NextLeaseExpiry), Is.EqualTo((terms.All.Count, terms.All.Count == 0 ? long.MaxValue : terms.All[0].Expiry)));
    }

    private static string Text(KeyValue pair) =>
        $"{Convert.ToHexString(pair.Key.Span)}={Convert.ToHexString(pair.Value.Span)} {pair.CreateRevision} {pair.ModRevision} {pair.Version} {pair.Lease}";
}
