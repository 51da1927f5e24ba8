using System.IO.Hashing;
using Loom.Raft.Replica;
using Loom.Raft.Sessions;
using Loom.Simulation.Engine;
using Loom.Simulation.History;

namespace Loom.Simulation.Checkers;

/// <summary>
/// What the machines of all members were given at each index and what they answered: it must be the same everywhere (T4), each write must reach the machine at one index only
/// (P1), and one that its caller was told is not applied never (P3).
/// </summary>
internal sealed class ApplyLog
{
    private readonly Dictionary<long, (UInt128 Payload, UInt128 Hash, Outcome Outcome, int Member)> byIndex = [];
    private readonly Dictionary<UInt128, ClientOperation> byPayload = [];
    private readonly Dictionary<int, long> indexOf = [];

    /// <summary>What leases did.</summary>
    public LeaseChecker Leases { get; } = new();

    /// <summary>A payload that no other operation has, on its way to a member.</summary>
    public void Sent(byte[] payload, ClientOperation operation)
    {
        if (operation.Effects.Any(e => e.Value != 0))
        {
            byPayload[XxHash128.HashToUInt128(payload)] = operation;
        }
    }

    public void Applied(int member, CommittedEntry entry, in ApplyResult result)
    {
        UInt128 payload = XxHash128.HashToUInt128(entry.Payload.Span);
        if (byIndex.TryGetValue(entry.Index, out (UInt128 Payload, UInt128 Hash, Outcome Outcome, int Member) first))
        {
            if (first.Payload != payload || first.Hash != result.Hash || first.Outcome != result.Outcome)
            {
                throw new SimulationFailure("state-hash", $"n{member} and n{first.Member} applied entry {entry.Index} to different ends: {result.Outcome} and {first.Outcome}");
            }

            return;
        }

        byIndex[entry.Index] = (payload, result.Hash, result.Outcome, member);
        Leases.Applied(entry, result.Outcome);
        if (byPayload.TryGetValue(payload, out ClientOperation? operation))
        {
            if (!indexOf.TryAdd(operation.Id, entry.Index))
            {
                throw new SimulationFailure("exactly-once", $"applied at {indexOf[operation.Id]} and again at {entry.Index}: {operation}");
            }

            CheckOutcome(operation);
        }
    }

    /// <summary>A caller learned how its operation ended.</summary>
    public void CheckOutcome(ClientOperation operation)
    {
        if (operation.Status == OperationStatus.NotApplied && indexOf.TryGetValue(operation.Id, out long index))
        {
            throw new SimulationFailure("definite-outcome", $"reported as not applied, but applied at {index}: {operation}");
        }

        if (operation.Status == OperationStatus.Acknowledged && operation.Effects.Any(e => e.Value != 0) && !indexOf.ContainsKey(operation.Id))
        {
            throw new SimulationFailure("acknowledged-lost", $"acknowledged, but no machine was given it: {operation}");
        }
    }
}
