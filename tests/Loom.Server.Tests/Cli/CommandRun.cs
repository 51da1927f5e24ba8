using Loom.Server.Cli;

namespace Loom.Server.Tests.Cli;

/// <summary>One run of a client command in this process: where no terminal is, without input and environment.</summary>
internal sealed record CommandRun(int Code, string Output, string Error)
{
    public static Task<CommandRun> OfAsync(params string[] arguments) => OfAsync(new Dictionary<string, string>(), arguments);

    public static async Task<CommandRun> OfAsync(Dictionary<string, string> environment, params string[] arguments)
    {
        StringWriter output = new(), error = new();
        var context = new CommandContext { Input = Stream.Null, Output = output, Error = error, Environment = environment, IsInputRedirected = true };
        int code = await LoomCommandLine.RunAsync(arguments, context, [], CancellationToken.None);
        return new CommandRun(code, output.ToString(), error.ToString());
    }
}
