using Loom.Simulation.Engine;
using Loom.Simulation.History;

namespace Loom.Simulation.Checkers;

/// <summary>
/// Linearizability by search, one key at a time (Wing and Gong's algorithm with Lowe's memo of the pairs of linearized set and state, as in Porcupine).
/// It trusts no revision: only values and the times of calls and returns. An operation of unknown outcome never returns, so it may take effect at any later time or never.
/// A key whose search exceeds the cap is undecided and counted apart, never as a pass.
/// </summary>
internal static class SearchChecker
{
    private const int MaxOperations = 256;

    public static (int Decided, int Undecided) Check(IReadOnlyList<ClientOperation> operations, int maxSteps)
    {
        SortedDictionary<int, List<Projection>> keys = [];
        foreach (ClientOperation operation in operations)
        {
            if (!operation.IsLocalRead && operation.Status != OperationStatus.NotApplied && (operation.IsWrite || operation.Status == OperationStatus.Acknowledged))
            {
                foreach (int key in Keys(operation))
                {
                    if (!keys.TryGetValue(key, out List<Projection>? list))
                    {
                        keys[key] = list = [];
                    }

                    list.Add(Projection.Of(operation, key));
                }
            }
        }

        int decided = 0, undecided = 0;
        foreach ((int key, List<Projection> list) in keys)
        {
            bool? linearizable = list.Count > MaxOperations ? null : Search(list, maxSteps);
            if (linearizable == false)
            {
                throw new SimulationFailure("search", $"key {key} has no linearization of its {list.Count} operations:\n  {string.Join("\n  ", list.Select(p => p.ClientOperation))}");
            }

            _ = linearizable is null ? undecided++ : decided++;
        }

        return (decided, undecided);
    }

    private static IEnumerable<int> Keys(ClientOperation operation) => operation.Conditions.Select(c => c.Key)
        .Concat(operation.Effects.Select(e => e.Key)).Concat(operation.Reads.Select(r => r.Key)).Distinct();

    private static bool? Search(List<Projection> operations, int maxSteps)
    {
        Node head = Node.List(operations);
        Stack<(Node Call, int State)> stack = new();
        HashSet<Visited> visited = [];
        ulong[] linearized = new ulong[(operations.Count + 63) / 64];
        int state = 0;
        Node? node = head.Next;
        int acknowledged = operations.Count(o => !o.IsUnknown);
        while (acknowledged > 0)
        {
            if (--maxSteps < 0)
            {
                return null;
            }

            if (node!.Match is { } match)
            {
                Projection operation = operations[node.Id];
                if (operation.Step(state, out int next))
                {
                    linearized[node.Id / 64] |= 1UL << (node.Id % 64);
                    if (visited.Add(new((ulong[])linearized.Clone(), next)))
                    {
                        stack.Push((node, state));
                        state = next;
                        acknowledged -= operation.IsUnknown ? 0 : 1;
                        node.Lift(match);
                        node = head.Next;
                        continue;
                    }

                    linearized[node.Id / 64] &= ~(1UL << (node.Id % 64));
                }

                node = node.Next;
            }
            else
            {
                // A return whose call was not linearized: whatever was chosen before is wrong.
                if (stack.Count == 0)
                {
                    return false;
                }

                (Node call, state) = stack.Pop();
                acknowledged += operations[call.Id].IsUnknown ? 0 : 1;
                linearized[call.Id / 64] &= ~(1UL << (call.Id % 64));
                call.Unlift();
                node = call.Next;
            }
        }

        return true;
    }

    /// <summary>What an operation says about one key.</summary>
    private sealed class Projection
    {
        public required ClientOperation ClientOperation { get; init; }

        public required bool IsUnknown { get; init; }

        public int? MustEqual { get; init; }

        public int? MustDiffer { get; init; }

        /// <summary>Of an unknown one: takes effect only in this state.</summary>
        public int? OnlyIf { get; init; }

        public int? Effect { get; init; }

        public static Projection Of(ClientOperation operation, int key)
        {
            bool unknown = operation.Status != OperationStatus.Acknowledged;
            Condition[] here = [.. operation.Conditions.Where(c => c.Key == key)];
            Effect[] effects = [.. operation.Effects.Where(e => e.Key == key)];
            Observation[] reads = [.. operation.Reads.Where(r => r.Key == key)];
            if (unknown)
            {
                return new()
                {
                    ClientOperation = operation,
                    IsUnknown = true,
                    OnlyIf = here.Length > 0 ? here[0].Value : null,
                    Effect = effects.Length > 0 ? effects[0].Value : null,
                };
            }

            bool deletedNothing = operation is { IsWrite: true, Succeeded: true, Changed: false };
            bool deletedOne = operation is { Succeeded: true, Changed: true, Effects.Count: 1 } && effects is [{ Value: 0 }];
            return new()
            {
                ClientOperation = operation,
                IsUnknown = false,
                MustEqual = reads.Length > 0 ? reads[0].Value : operation.Succeeded && here.Length > 0 ? here[0].Value : deletedNothing && effects.Length > 0 ? 0 : null,
                MustDiffer = !operation.Succeeded && operation.Conditions.Count == 1 && here.Length > 0 ? here[0].Value : deletedOne ? 0 : null,
                Effect = operation.Succeeded && effects.Length > 0 ? effects[0].Value : null,
            };
        }

        public bool Step(int state, out int next)
        {
            next = state;
            if ((MustEqual is { } equal && state != equal) || (MustDiffer is { } differ && state == differ))
            {
                return false;
            }

            if (Effect is { } effect && (OnlyIf is null || OnlyIf == state))
            {
                next = effect;
            }

            return true;
        }
    }

    private sealed class Node
    {
        public int Id { get; private init; }

        /// <summary>Of a call: its return; a return has none.</summary>
        public Node? Match { get; private init; }

        public Node? Next { get; private set; }

        private Node? Previous { get; set; }

        public static Node List(List<Projection> operations)
        {
            List<(long Time, bool IsReturn, int Id)> events = [];
            for (int id = 0; id < operations.Count; id++)
            {
                events.Add((operations[id].ClientOperation.Call, false, id));
                events.Add((operations[id].IsUnknown ? long.MaxValue : operations[id].ClientOperation.Return, true, id));
            }

            events.Sort();
            Node[] returns = [.. Enumerable.Range(0, operations.Count).Select(id => new Node { Id = id })];
            Node head = new() { Id = -1 };
            Node last = head;
            foreach ((long _, bool isReturn, int id) in events)
            {
                Node node = isReturn ? returns[id] : new() { Id = id, Match = returns[id] };
                (last.Next, node.Previous) = (node, last);
                last = node;
            }

            return head;
        }

        public void Lift(Node match)
        {
            Unlink(this);
            Unlink(match);
        }

        public void Unlift()
        {
            Link(Match!);
            Link(this);
        }

        private static void Unlink(Node node)
        {
            node.Previous!.Next = node.Next;
            if (node.Next is not null)
            {
                node.Next.Previous = node.Previous;
            }
        }

        private static void Link(Node node)
        {
            node.Previous!.Next = node;
            if (node.Next is not null)
            {
                node.Next.Previous = node;
            }
        }
    }

    private readonly struct Visited(ulong[] linearized, int state) : IEquatable<Visited>
    {
        private readonly ulong[] linearized = linearized;
        private readonly int state = state;

        public bool Equals(Visited other) => state == other.state && linearized.AsSpan().SequenceEqual(other.linearized);

        public override bool Equals(object? obj) => obj is Visited other && Equals(other);

        public override int GetHashCode()
        {
            HashCode hash = default;
            hash.Add(state);
            foreach (ulong word in linearized)
            {
                hash.Add(word);
            }

            return hash.ToHashCode();
        }
    }
}
