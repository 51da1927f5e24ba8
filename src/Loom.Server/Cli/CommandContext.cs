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

    /// <summary>Asks for something that is not shown while it is typed; null: there is nobody to ask.</summary>
    public Func<string, string?> AskSecret { get; init; } = static _ => null;

    public static CommandContext FromProcess() => new()
    {
        Input = Console.OpenStandardInput(),

        // Console.Out flushes at each write; a range of a million keys should not.
        Output = new StreamWriter(Console.OpenStandardOutput(), new System.Text.UTF8Encoding(false), 16 * 1024) { AutoFlush = !Console.IsOutputRedirected },
        Error = Console.Error,
        Environment = System.Environment.GetEnvironmentVariables(),
        IsTerminal = !Console.IsOutputRedirected && System.Environment.GetEnvironmentVariable("TERM") != "dumb",
        IsInputRedirected = Console.IsInputRedirected,
        AskSecret = static prompt => Console.IsInputRedirected ? null : ReadSecret(prompt),
    };

    private static string ReadSecret(string prompt)
    {
        Console.Error.Write(prompt);
        var text = new System.Text.StringBuilder();
        while (Console.ReadKey(intercept: true) is { Key: not ConsoleKey.Enter } key)
        {
            if (key.Key != ConsoleKey.Backspace)
            {
                text.Append(key.KeyChar);
            }
            else if (text.Length > 0)
            {
                text.Length--;
            }
        }

        Console.Error.WriteLine();
        return text.ToString();
    }
}
