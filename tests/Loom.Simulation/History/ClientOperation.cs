namespace Loom.Simulation.History;

internal enum OperationStatus : byte
{
    /// <summary>Called, not returned. At the end of a history it counts as unknown.</summary>
    Open,

    Acknowledged,

    /// <summary>The error said that it was not and will not be applied.</summary>
    NotApplied,

    /// <summary>It may have been applied, once.</summary>
    Unknown,
}

/// <summary>What a write leaves in a key: a value that no other write of the history uses, or (0) nothing.</summary>
internal readonly record struct Effect(int Key, int Value);

/// <summary>A condition: the key holds this value, or (0) is absent.</summary>
internal readonly record struct Condition(int Key, int Value);

/// <summary>What a read saw in a key. All zero: absent.</summary>
internal readonly record struct Observation(int Key, int Value, long ModRevision, long CreateRevision, long Version);

/// <summary>
/// One call of a client, of any kind: if all conditions hold, the effects; what it read. Value ids are unique over the history, so an effect names its cause.
/// </summary>
internal sealed class ClientOperation
{
    public required int Id { get; init; }

    public required int Client { get; init; }

    /// <summary>The member it was sent to, and which life of it.</summary>
    public required int Member { get; init; }

    public required int MemberLife { get; set; }

    public required long Call { get; init; }

    /// <summary>Local reads promise less than the others: the state at their revision, and no way back on one life of a member.</summary>
    public bool IsLocalRead { get; init; }

    public bool IsWrite => Effects.Count > 0;

    public IReadOnlyList<Condition> Conditions { get; init; } = [];

    public IReadOnlyList<Effect> Effects { get; init; } = [];

    /// <summary>Keys to read, of an operation that only reads.</summary>
    public IReadOnlyList<int> Wanted { get; init; } = [];

    public long Return { get; set; } = long.MaxValue;

    public OperationStatus Status { get; set; }

    /// <summary>Why it failed; for people.</summary>
    public string? Error { get; set; }

    /// <summary>All conditions held.</summary>
    public bool Succeeded { get; set; }

    /// <summary>The store's revision in the answer.</summary>
    public long Revision { get; set; }

    /// <summary>The write made its revision. False for a refused condition and for a deletion of nothing.</summary>
    public bool Changed { get; set; }

    /// <summary>Linearizable or transactional reads, at <see cref="Revision"/>, before any effect.</summary>
    public List<Observation> Reads { get; } = [];

    public override string ToString() =>
        $"#{Id} c{Client}@n{Member} [{Call / 1e9:F6}, {(Return == long.MaxValue ? "∞" : (Return / 1e9).ToString("F6", null))}] {Status} {(IsLocalRead ? "local " : "")}"
        + $"if({string.Join(",", Conditions.Select(c => $"k{c.Key}=={c.Value}"))}) do({string.Join(",", Effects.Select(e => $"k{e.Key}={e.Value}"))}) "
        + $"read({string.Join(",", Reads.Select(r => $"k{r.Key}={r.Value}"))}) → {(Succeeded ? "yes" : "no")} rev {Revision}{(Changed ? " changed" : "")} {Error}";
}

/// <summary>All calls of all clients, in the order in which they were called.</summary>
internal sealed class OperationHistory
{
    public List<ClientOperation> Operations { get; } = [];

    public int NextId => Operations.Count + 1;

    public ClientOperation Add(ClientOperation operation)
    {
        Operations.Add(operation);
        return operation;
    }
}

/// <summary>One revision as a replica's history holds it: what it left in which keys.</summary>
internal sealed record RevisionRecord(long Revision, IReadOnlyList<Effect> Effects);
