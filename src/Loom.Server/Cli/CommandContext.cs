using System.Collections;

namespace Loom.Server.Cli;

/// <summary>What a command may touch of the process. Tests hand in their own.</summary>
internal sealed record CommandContext
{
    public required Stream Input { get; init; }

    public required TextWriter Output { get; init; }

    public required TextWriter Error { get; init; }

    public required IDictionary Environment { get; init; }

    /// <summary>Standard output is a terminal: tables, colours.</summary>
    public bool IsTerminal { get; init; }

    /// <summary>Standard input was given by a pipe or file.</summary>
    public bool IsInputRedirected { get; init; }

    public static CommandContext FromProcess() => new()
    {
        Input = Console.OpenStandardInput(),

        // Console.Out flushes at each write; a range of a million keys should not.
        Output = new StreamWriter(Console.OpenStandardOutput(), new System.Text.UTF8Encoding(false), 16 * 1024) { AutoFlush = !Console.IsOutputRedirected },
        Error = Console.Error,
        Environment = System.Environment.GetEnvironmentVariables(),
        IsTerminal = !Console.IsOutputRedirected && System.Environment.GetEnvironmentVariable("TERM") != "dumb",
        IsInputRedirected = Console.IsInputRedirected,
    };
}
