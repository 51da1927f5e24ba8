using System.CommandLine;
using System.CommandLine.Invocation;
using System.CommandLine.Parsing;
using Loom.Server.Configuration;

namespace Loom.Server.Cli;

/// <summary>The client commands of <c>loom</c>. <c>serve</c> is here only for the help: <see cref="Program"/> hands it to its own parser.</summary>
internal static class LoomCommandLine
{
    /// <summary>What etcd's own client does for a node, and <c>loom</c> does not do again.</summary>
    private static readonly string[] EtcdctlOnly = ["watch", "lease", "lock", "elect", "user", "role", "auth", "compaction", "endpoint", "alarm", "snapshot", "move-leader"];

    public static async Task<int> RunAsync(IReadOnlyList<string> arguments, CommandContext context, IReadOnlyList<Command> others, CancellationToken cancellationToken)
    {
        RootCommand root = Build(context, others);
        ParseResult parsed = root.Parse(arguments);
        if (parsed.Action is ParseErrorAction || OptionAsArgument(parsed) is not null)
        {
            WriteUsageError(context.Error, parsed);
            return ExitCode.Usage;
        }

        // Signals are the commands' own: the library's two seconds would end a demo in the middle of its cleaning up.
        var configuration = new InvocationConfiguration { Output = context.Output, Error = context.Error, EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null };
        try
        {
            return await parsed.InvokeAsync(configuration, cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            await context.Output.FlushAsync(CancellationToken.None).ConfigureAwait(false);
        }
    }

    internal static RootCommand Build(CommandContext context, IReadOnlyList<Command> others)
    {
        var common = new CommandLineOptions(context);
        var root = new RootCommand("Loom: one consistent state in several datacenters. `loom serve` runs a node; the other commands talk to one.");
        common.AddTo(root);
        var version = new Command("version", "Show the version");
        version.SetAction(_ => VersionText.Write(context.Output));
        root.Subcommands.Add(new Command("serve", "Run a node (loom serve --help lists its settings)") { TreatUnmatchedTokensAsErrors = false });
        foreach (Command command in (Command[])
            [KvCommands.Put(common), KvCommands.Get(common), KvCommands.Delete(common), TxnCommand.Create(common), StatusCommand.Create(common),
                MemberCommands.Create(common), BackupCommand.Create(common), RestoreCommand.Create(common), VerifyCommand.Create(common), CertsCommand.Create(context), version, ExplainCommand.Create(context), .. others])
        {
            root.Subcommands.Add(command);
        }

        return root;
    }

    /// <summary>One line with the word that was not understood, one with the nearest that would be.</summary>
    private static void WriteUsageError(TextWriter error, ParseResult parsed)
    {
        Command command = parsed.CommandResult.Command;
        string? unknown = OptionAsArgument(parsed) ?? (parsed.UnmatchedTokens.Count > 0 ? parsed.UnmatchedTokens[0] : null);
        if (unknown is null)
        {
            bool verbMissing = command.Subcommands.Count > 0;
            string problem = verbMissing ? (command is RootCommand ? "a command is missing" : $"'{command.Name}' needs a command") : parsed.Errors[0].Message;
            string fix = verbMissing
                ? $"write one of: {string.Join(", ", command.Subcommands.Where(c => !c.Hidden).Select(c => c.Name))}"
                : $"loom {Path(parsed.CommandResult)}--help shows the usage";
            ErrorText.Write(error, problem, fix);
            return;
        }

        bool isOption = unknown.StartsWith('-');
        IEnumerable<string> known = isOption ? Options(parsed.CommandResult) : command.Subcommands.Where(c => !c.Hidden).Select(c => c.Name);
        string? near = Spelling.Nearest(unknown.Split('=')[0], known);
        string what = isOption ? $"unknown option {unknown}" : command.Subcommands.Count > 0 ? $"unknown command '{unknown}'" : $"'{unknown}' is one argument too many";
        if (command is RootCommand && EtcdctlOnly.Contains(unknown))
        {
            ErrorText.Write(error, what, $"use etcdctl {unknown}: a node speaks etcd's v3 API");
            return;
        }

        ErrorText.Write(error, what, near is null ? $"loom {Path(parsed.CommandResult)}--help shows the usage" : $"did you mean {near}?");
    }

    /// <summary>
    /// A misspelt option is taken for an argument that is still open: <c>get a --prefx</c> would read up to the key "--prefx". After <c>--</c> anything is an argument.
    /// </summary>
    private static string? OptionAsArgument(ParseResult parsed)
    {
        foreach (Token token in parsed.Tokens.TakeWhile(t => t.Type != TokenType.DoubleDash))
        {
            if (token.Type == TokenType.Argument && token.Value.Length > 2 && token.Value.StartsWith("--", StringComparison.Ordinal) &&
                parsed.CommandResult.Tokens.Concat(parsed.CommandResult.Children.OfType<ArgumentResult>().SelectMany(a => a.Tokens)).Contains(token))
            {
                return token.Value;
            }
        }

        return null;
    }

    private static IEnumerable<string> Options(CommandResult? result)
    {
        for (SymbolResult? at = result; at is not null; at = at.Parent)
        {
            foreach (Option option in at is CommandResult c ? c.Command.Options : [])
            {
                yield return option.Name;
            }
        }
    }

    private static string Path(CommandResult result) => result.Parent is CommandResult parent ? $"{Path(parent)}{result.Command.Name} " : "";
}
