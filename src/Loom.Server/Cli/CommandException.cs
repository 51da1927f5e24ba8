namespace Loom.Server.Cli;

/// <summary>A command cannot do its work: exit code, cause, fix.</summary>
internal sealed class CommandException(int exitCode, string problem, string? fix = null, string? code = null) : Exception(problem)
{
    public int ExitCode { get; } = exitCode;

    public string? Fix { get; } = fix;

    /// <summary>LOOM1007, or null.</summary>
    public string? Code { get; } = code;
}
