namespace Loom.Server.Configuration;

/// <summary>Settings that cannot work: one problem, one fix.</summary>
internal sealed class ConfigurationException(string problem, string fix) : Exception(problem)
{
    public string Fix { get; } = fix;
}
