using System.Buffers.Binary;
using System.Globalization;
using System.Text;
using Loom.Raft;
using Loom.Simulation.Checkers;
using Loom.Simulation.Engine;
using Loom.Simulation.History;
using Loom.Store.Commands;
using Loom.Store.Model;

namespace Loom.Simulation.Cluster;

/// <summary>
/// What clients do, and its translation to and from the store's own commands and answers. Keys are used in a window that moves on, so that each key has a bounded
/// number of operations for the search; each value is used once, so that it names its writer.
/// </summary>
internal sealed class Workload(OperationHistory history, Swarm swarm, ApplyLog applyLog)
{
    private const int OperationsPerKey = 100;
    private readonly List<int> lastSeen = [];
    private int nextValue = 1;

    public int Keys => Window + swarm.WindowKeys;

    private int Window => history.Operations.Count / OperationsPerKey;

    public ClientOperation Draw(SimRandom random, int client, SimMember member)
    {
        int key = Window + random.Below(swarm.WindowKeys);
        return random.Below(100) switch
        {
            < 30 => Make(client, member, [], [new(key, nextValue++)]),
            < 36 => Make(client, member, [], [new(key, 0)]),
            < 56 => Make(client, member, [new(key, LastSeen(key))], [new(key, nextValue++)]),
            < 64 => Make(client, member, random.Chance(0.5) ? [] : [new(key, LastSeen(key))], Several(random, key)),
            < 80 => Make(client, member, [], [], reads: [key]),
            < 88 => Make(client, member, [], [], reads: [.. Enumerable.Range(Window, swarm.WindowKeys)]),
            < 96 => Make(client, member, [], [], reads: [key], local: true),
            _ => Make(client, member, [], [], reads: [.. Enumerable.Range(Window, swarm.WindowKeys)], local: true),
        };
    }

    /// <summary>The same intent with new values.</summary>
    public ClientOperation Again(ClientOperation operation, int client, SimMember member) =>
        Make(client, member, operation.Conditions, [.. operation.Effects.Select(e => e.Value == 0 ? e : new Effect(e.Key, nextValue++))]);

    public ClientOperation ReadOne(int client, SimMember member) => Make(client, member, [], [], reads: [Window]);

    /// <summary>A read of every key that was ever used.</summary>
    public ClientOperation ReadAll(int client, SimMember member) => Make(client, member, [], [], reads: [.. Enumerable.Range(0, Keys)]);

    public ClientOperation Put(int key, int client, SimMember member) => Make(client, member, [], [new(key, nextValue++)]);

    public byte[] Encode(ClientOperation operation)
    {
        byte[] payload = CommandWriter.Encode(ToCommand(operation));
        applyLog.Sent(payload, operation);
        return payload;
    }

    /// <summary>Takes the machine's answer to a write into the history.</summary>
    public void TakeResult(ClientOperation operation, ProposalResult answer)
    {
        switch (answer.Result)
        {
            case PutResult put:
                (operation.Revision, operation.Succeeded, operation.Changed) = (put.Revision.Number, true, true);
                Observe(operation, operation.Effects[0].Key, put.Previous);
                break;
            case DeleteResult delete:
                (operation.Revision, operation.Succeeded, operation.Changed) = (delete.Revision.Number, true, delete.Deleted > 0);
                Observe(operation, operation.Effects[0].Key, delete.Previous.Count > 0 ? delete.Previous[0] : null);
                break;
            case TransactionResult transaction:
                (operation.Revision, operation.Succeeded) = (transaction.Revision.Number, transaction.Succeeded);
                operation.Changed = transaction.Succeeded;
                foreach (OperationResult result in transaction.Results)
                {
                    if (result is RangeOperationResult range)
                    {
                        int key = operation.Succeeded || operation.Conditions.Count == 0 ? operation.Effects[0].Key : operation.Conditions[0].Key;
                        Observe(operation, key, range.Result.Pairs.Count > 0 ? range.Result.Pairs[0] : null);
                    }
                }

                break;
            case null when answer.Deduplicated:
                // The reads of the first application are gone (P2); its revision and branch are in the outcome.
                operation.Revision = answer.Outcome.Revision;
                operation.Succeeded = operation.Conditions.Count == 0 || answer.Outcome.Branch != 0;
                operation.Changed = operation.Effects is [{ Value: 0 }] ? answer.Outcome.Extra > 0 : operation.Succeeded;
                break;
            default:
                throw new SimulationFailure("answer", $"unexpected answer {answer.Result?.ToString() ?? "null"} to {operation}");
        }

        foreach (Effect effect in operation.Effects.Where(_ => operation.Succeeded))
        {
            See(effect.Key, effect.Value);
        }
    }

    /// <summary>Reads the keys of an operation from a member's applied state, at one revision.</summary>
    public void Read(SimMember member, ClientOperation operation)
    {
        int first = operation.Wanted[0], last = operation.Wanted[^1];
        KeyRange range = operation.Wanted.Count == 1 ? KeyRange.Single(KeyBytes(first)) : new KeyRange(KeyBytes(first), KeyBytes(last + 1));
        RangeResult result = member.Range(new RangeQuery(range));
        (operation.Revision, operation.Succeeded) = (result.Revision.Number, true);
        int next = 0;
        foreach (int key in operation.Wanted)
        {
            KeyValue? pair = next < result.Pairs.Count && KeyOf(result.Pairs[next].Key.Span) == key ? result.Pairs[next++] : null;
            Observe(operation, key, pair);
            See(key, operation.Reads[^1].Value);
        }

        if (next != result.Pairs.Count)
        {
            throw new SimulationFailure("answer", $"a range answered {result.Pairs.Count} pairs, {next} of them in the order of keys: {operation}");
        }
    }

    public static byte[] KeyBytes(int key) => Encoding.ASCII.GetBytes("k" + key.ToString("D6", CultureInfo.InvariantCulture));

    public static int KeyOf(ReadOnlySpan<byte> key) => int.Parse(key[1..], CultureInfo.InvariantCulture);

    public static int ValueOf(ReadOnlySpan<byte> value) => BinaryPrimitives.ReadInt32LittleEndian(value);

    private static void Observe(ClientOperation operation, int key, KeyValue? pair) => operation.Reads.Add(pair is null
        ? new(key, 0, 0, 0, 0)
        : new(key, ValueOf(pair.Value.Span), pair.ModRevision, pair.CreateRevision, pair.Version));

    private Command ToCommand(ClientOperation operation)
    {
        if (operation.Conditions.Count == 0 && operation.Effects is [Effect only])
        {
            return only.Value == 0
                ? new DeleteCommand(new DeleteOperation(KeyRange.Single(KeyBytes(only.Key))) { PreviousPairs = true })
                : new PutCommand(new PutOperation(KeyBytes(only.Key), ValueBytes(only.Value)) { PreviousPair = true });
        }

        List<Compare> compares = [.. operation.Conditions.Select(c => c.Value == 0
            ? new Compare(KeyRange.Single(KeyBytes(c.Key)), CompareTarget.Create, CompareResult.Equal)
            : new Compare(KeyRange.Single(KeyBytes(c.Key)), CompareTarget.Value, CompareResult.Equal, 0, ValueBytes(c.Value)))];
        List<Operation> success = [new RangeOperation(Get(operation.Effects[0].Key))];
        foreach (Effect effect in operation.Effects)
        {
            success.Add(effect.Value == 0
                ? new DeleteOperation(KeyRange.Single(KeyBytes(effect.Key)))
                : new PutOperation(KeyBytes(effect.Key), ValueBytes(effect.Value)));
        }

        List<Operation> failure = operation.Conditions.Count > 0 ? [new RangeOperation(Get(operation.Conditions[0].Key))] : [];
        return new TransactionCommand(new Transaction(compares, success, failure));
    }

    private static RangeQuery Get(int key) => new(KeyRange.Single(KeyBytes(key)));

    /// <summary>The id in front, then bytes that follow from it, so that a compare by value can name the whole value again.</summary>
    private byte[] ValueBytes(int value)
    {
        byte[] bytes = new byte[4 + (int)((uint)(value * 2654435761) % (uint)swarm.MaxValueBytes)];
        BinaryPrimitives.WriteInt32LittleEndian(bytes, value);
        bytes.AsSpan(4).Fill((byte)value);
        return bytes;
    }

    /// <summary>Two or three keys of the window in one transaction, sometimes deleting one.</summary>
    private List<Effect> Several(SimRandom random, int first)
    {
        List<Effect> effects = [new(first, nextValue++)];
        for (int key = Window; key < Window + swarm.WindowKeys && effects.Count < 3; key++)
        {
            if (key != first && random.Chance(0.6))
            {
                effects.Add(new(key, random.Chance(0.2) ? 0 : nextValue++));
            }
        }

        return effects;
    }

    private int LastSeen(int key) => key < lastSeen.Count ? lastSeen[key] : 0;

    private void See(int key, int value)
    {
        while (lastSeen.Count <= key)
        {
            lastSeen.Add(0);
        }

        lastSeen[key] = value;
    }

    private ClientOperation Make(int client, SimMember member, IReadOnlyList<Condition> conditions, IReadOnlyList<Effect> effects, IReadOnlyList<int>? reads = null, bool local = false) => new()
    {
        Id = history.NextId,
        Client = client,
        Member = member.Number,
        MemberLife = member.Life,
        Call = member.Cluster.Scheduler.Now,
        IsLocalRead = local,
        Conditions = conditions,
        Effects = effects,
        Wanted = reads ?? [],
    };
}
