using Loom.Server.Cli;
using Loom.Server.Hosting;

namespace Loom.Server;

internal static class Program
{
    public static async Task<int> Main(string[] args)
    {
        CommandContext context = CommandContext.FromProcess();
        try
        {
            return args is ["serve", ..]
                ? await ServeCommand.RunAsync(args[1..], context.Environment, context.Output, context.Error, StoreOpening.OpenAsync, CancellationToken.None).ConfigureAwait(false)
                : await LoomCommandLine.RunAsync(args, context, [DemoCommand.Create(context)], CancellationToken.None).ConfigureAwait(false);
        }
        finally
        {
            await context.Output.FlushAsync().ConfigureAwait(false);
        }
    }
}
