#if LOOM_MUTATIONS
namespace Loom.Raft.Diagnostics;

/// <summary>
/// Switches that each break exactly one rule of docs/protocol.md, to prove that the simulator's checkers catch it.
/// Only the simulation project defines LOOM_MUTATIONS; the shipped assemblies hold none of this.
/// Use: <c>#if LOOM_MUTATIONS if (Mutations.On("L8-ack-before-flush")) … #endif</c>.
/// </summary>
internal static class Mutations
{
    [ThreadStatic] private static string? active;

    /// <summary>The one mutation that is on in this thread's simulation, or null.</summary>
    public static string? Active { get => active; set => active = value; }

    public static bool On(string name) => string.Equals(active, name, StringComparison.Ordinal);
}
#endif
