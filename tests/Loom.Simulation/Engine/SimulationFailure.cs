namespace Loom.Simulation.Engine;

/// <summary>A checker saw a broken promise. <see cref="Checker"/> names which, so that a mutation can be said to be caught by it.</summary>
internal sealed class SimulationFailure(string checker, string message) : Exception($"{checker}: {message}")
{
    public string Checker { get; } = checker;
}
