using Grpc.Core;
using Grpc.Core.Interceptors;
using Loom.Server.Etcd.Protos;

namespace Loom.Server.Cli;

/// <summary>Who runs the command, for a cluster that asks: a name and a password, for which the first member that is reached gives a token. It counts on all of them.</summary>
internal sealed class Login(string user, string password)
{
    private string? token;
    private bool isAsked = true;

    /// <summary>"NAME:PASSWORD", or a name and the password apart, or a name whose password is asked for.</summary>
    public static Login? Of(string user, string password, Func<string, string?> ask)
    {
        if (user.Length == 0)
        {
            return password.Length == 0 ? null : throw new CommandException(ExitCode.Usage, "a password is given, and no user", "write --user NAME");
        }

        int colon = user.IndexOf(':', StringComparison.Ordinal);
        if (colon >= 0 && password.Length > 0)
        {
            throw new CommandException(ExitCode.Usage, "two passwords are given, one with --user and one with --password", "leave one of them out");
        }

        if (colon == 0)
        {
            throw new CommandException(ExitCode.Usage, "--user has no name", "write --user NAME:PASSWORD");
        }

        return colon > 0 ? new Login(user[..colon], user[(colon + 1)..])
            : password.Length > 0 ? new Login(user, password)
            : new Login(user, ask($"Password of {user}: ") ?? throw new CommandException(
                ExitCode.Usage, $"no password is given for {user}", "write --user NAME:PASSWORD, or --password, or set LOOM_PASSWORD; on a terminal it is asked for"));
    }

    /// <summary>The invoker whose calls show the token; where nobody asks, as it is.</summary>
    public CallInvoker Sign(CallInvoker invoker) => token is not { } known ? invoker : invoker.Intercept(metadata =>
    {
        metadata.Add("token", known);
        return metadata;
    });

    /// <summary>Gets the token, once. A cluster on which authentication is not enabled needs none.</summary>
    /// <exception cref="CommandException">The password is wrong, or the member cannot be asked.</exception>
    public async Task EnterAsync(CallInvoker invoker, CallOptions options, string endpoint)
    {
        if (token is not null || !isAsked)
        {
            return;
        }

        try
        {
            AuthenticateResponse answer = await new Auth.AuthClient(invoker).AuthenticateAsync(new AuthenticateRequest { Name = user, Password = password }, options).ConfigureAwait(false);
            token = answer.Token;
        }
        catch (RpcException exception) when (exception.StatusCode == StatusCode.FailedPrecondition && exception.Status.Detail == Etcd.Translation.EtcdError.AuthNotEnabled)
        {
            isAsked = false;
        }
        catch (RpcException exception) when (exception.StatusCode != StatusCode.Cancelled)
        {
            // Nothing of the command itself was sent.
            throw RpcFailure.Translate(exception, write: false, endpoint);
        }
    }
}
