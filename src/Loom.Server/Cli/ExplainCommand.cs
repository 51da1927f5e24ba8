using System.CommandLine;
using Loom.Server.Configuration;

namespace Loom.Server.Cli;

/// <summary><c>loom explain CODE</c>: what an error means and what to do.</summary>
internal static class ExplainCommand
{
    public static Command Create(CommandContext context)
    {
        var code = new Argument<string?>("code") { Arity = ArgumentArity.ZeroOrOne, Description = "an error code such as LOOM1007 or 1007; without it: all" };
        var command = new Command("explain", "Explain an error code");
        command.Arguments.Add(code);
        command.SetAction(parsed =>
        {
            string? asked = parsed.GetValue(code);
            if (asked is null)
            {
                foreach (ErrorEntry entry in ErrorCatalogue.All)
                {
                    context.Output.WriteLine($"{entry.Code}\t{entry.Title}");
                }
            }
            else if (ErrorCatalogue.Find(asked) is { } entry)
            {
                context.Output.WriteLine($"{entry.Code}: {entry.Title}");
                context.Output.WriteLine(entry.Meaning);
                context.Output.WriteLine($"Fix: {entry.Fix}.");
            }
            else
            {
                string? near = Spelling.Nearest(asked.ToUpperInvariant(), ErrorCatalogue.All.Select(e => e.Code));
                ErrorText.Write(context.Error, $"there is no error code {asked}", near is null ? "loom explain lists the codes" : $"did you mean {near}?");
                return ExitCode.NotFound;
            }

            context.Output.Flush();
            return ExitCode.Ok;
        });
        return command;
    }
}
