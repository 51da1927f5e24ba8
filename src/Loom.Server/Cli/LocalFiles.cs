using Loom.Store;

namespace Loom.Server.Cli;

/// <summary>Work of a command on files of this machine; its failures in the form of all others.</summary>
internal static class LocalFiles
{
    public static Task<T> RunAsync<T>(Func<T> work) => RunAsync(() => Task.Run(work));

    public static async Task<T> RunAsync<T>(Func<Task<T>> work)
    {
        try
        {
            return await work().ConfigureAwait(false);
        }
        catch (LoomException exception)
        {
            throw Failure(exception);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new CommandException(ExitCode.Failure, exception.Message, "check that this user may read and write there, and that there is space");
        }
    }

    /// <summary>The store's messages hold code, cause and fix already.</summary>
    private static CommandException Failure(LoomException exception)
    {
        string code = ErrorText.Code(exception.Code);
        bool own = exception.Message.StartsWith(code, StringComparison.Ordinal);
        return new CommandException(ExitCode.Failure, own ? exception.Message[code.Length..].TrimStart(':', ' ') : exception.Message, own ? null : ErrorCatalogue.Find(code)?.Fix, code);
    }
}
