using System.CommandLine;
using Loom.Server.Configuration;

namespace Loom.Server.Cli;

/// <summary>The options that every client command takes, and the frame in which each runs: session, errors, exit code.</summary>
internal sealed class CommandLineOptions
{
    private readonly CommandContext context;
    private readonly Option<string?> endpoints = new("--endpoints")
    {
        Recursive = true, HelpName = "host:port,...", Description = "members to ask, in this order (LOOM_ENDPOINTS) [127.0.0.1:2379]",
    };

    private readonly Option<string?> output = new("--output", "-o") { Recursive = true, HelpName = "json|jsonl|table|plain", Description = "table on a terminal, plain elsewhere" };
    private readonly Option<string> timeout = new("--timeout", "--command-timeout") { Recursive = true, DefaultValueFactory = _ => "10s", Description = "how long a call may take" };
    private readonly Option<string?> cacert = new("--cacert") { Recursive = true, HelpName = "file", Description = "CA of the members' certificates, PEM (LOOM_CACERT)" };
    private readonly Option<string?> cert = new("--cert") { Recursive = true, HelpName = "file", Description = "certificate to show, PEM (LOOM_CERT)" };
    private readonly Option<string?> key = new("--key") { Recursive = true, HelpName = "file", Description = "its private key, PEM (LOOM_KEY)" };
    private readonly Option<bool> skipVerify = new("--insecure-skip-tls-verify") { Recursive = true, Description = "take any certificate: encrypted, but whoever stands between can read" };
    private readonly Option<string?> user = new("--user") { Recursive = true, HelpName = "name[:password]", Description = "who calls, where the cluster asks (LOOM_USER); without a password it is asked for" };
    private readonly Option<string?> password = new("--password") { Recursive = true, HelpName = "password", Description = "his password (LOOM_PASSWORD)" };
    private readonly Option<bool> quiet = new("--quiet", "-q") { Recursive = true, Description = "no notes on standard error, only errors" };

    public CommandLineOptions(CommandContext context)
    {
        this.context = context;
    }

    public void AddTo(Command root)
    {
        root.Options.Add(endpoints);
        root.Options.Add(output);
        root.Options.Add(timeout);
        root.Options.Add(cacert);
        root.Options.Add(cert);
        root.Options.Add(key);
        root.Options.Add(skipVerify);
        root.Options.Add(user);
        root.Options.Add(password);
        root.Options.Add(quiet);
    }

    public void SetAction(Command command, Func<ParseResult, CommandSession, Task<int>> action) => command.SetAction((parsed, cancellationToken) => RunAsync(parsed, action, cancellationToken));

    private async Task<int> RunAsync(ParseResult parsed, Func<ParseResult, CommandSession, Task<int>> action, CancellationToken cancellationToken)
    {
        try
        {
            using CommandSession session = Open(parsed, cancellationToken);
            return await action(parsed, session).ConfigureAwait(false);
        }
        catch (CommandException exception)
        {
            ErrorText.Write(context.Error, exception.Message, exception.Fix, exception.Code);
            return exception.ExitCode;
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            return ExitCode.Interrupted;
        }
        finally
        {
            await context.Output.FlushAsync(CancellationToken.None).ConfigureAwait(false);
        }
    }

    /// <summary>The option, else LOOM_*, else etcdctl's variable of that name.</summary>
    private string Given(string? option, string variable) => option is { Length: > 0 } ? option
        : context.Environment["LOOM_" + variable] is string { Length: > 0 } ours ? ours
        : context.Environment["ETCDCTL_" + variable] is string { Length: > 0 } theirs ? theirs : "";

    private CommandSession Open(ParseResult parsed, CancellationToken cancellationToken)
    {
        string addresses = Given(parsed.GetValue(endpoints), "ENDPOINTS") is { Length: > 0 } given ? given : NodeClient.DefaultEndpoint;
        bool any = parsed.GetValue(skipVerify) || SettingSources.ParseBoolean(Given(null, "INSECURE_SKIP_TLS_VERIFY")) == true;
        ClientTls tls = ClientTls.Of(Given(parsed.GetValue(cacert), "CACERT"), Given(parsed.GetValue(cert), "CERT"), Given(parsed.GetValue(key), "KEY"), any);
        string time = parsed.GetValue(timeout)!;
        TimeSpan limit = GoDuration.Parse(time, plainIsMilliseconds: false) is { } duration && duration > TimeSpan.Zero
            ? duration
            : throw new CommandException(ExitCode.Usage, $"--timeout is '{time}'", "write a duration such as 5s");
        OutputMode mode = parsed.GetValue(output) switch
        {
            null => context.IsTerminal ? OutputMode.Table : OutputMode.Plain,
            "json" => OutputMode.Json,
            "jsonl" => OutputMode.JsonLines,
            "table" => OutputMode.Table,
            "plain" => OutputMode.Plain,
            { } other => throw new CommandException(ExitCode.Usage, $"the output mode '{other}' does not exist", "write -o json, jsonl, table or plain"),
        };
        var login = Login.Of(Given(parsed.GetValue(user), "USER"), Given(parsed.GetValue(password), "PASSWORD"), context.AskSecret);
        return new CommandSession(
            context, new NodeClient(NodeClient.ParseEndpoints(addresses), tls, login, limit, cancellationToken), new DataWriter(context.Output, mode, context.IsTerminal),
            parsed.GetValue(quiet), cancellationToken);
    }
}

/// <summary>One run of a client command.</summary>
internal sealed class CommandSession(CommandContext context, NodeClient client, DataWriter data, bool quiet, CancellationToken cancellationToken) : IDisposable
{
    public NodeClient Client { get; } = client;

    public DataWriter Data { get; } = data;

    public CancellationToken CancellationToken { get; } = cancellationToken;

    /// <summary>Something for people, beside the data.</summary>
    public void Note(string text)
    {
        if (!quiet)
        {
            context.Error.WriteLine(text);
        }
    }

    /// <summary>All of standard input. At a terminal a line says so: a command that just stands there looks broken.</summary>
    public byte[] ReadInput()
    {
        if (!context.IsInputRedirected)
        {
            Note("reading standard input until its end (Ctrl-D)");
        }

        using var memory = new MemoryStream();
        context.Input.CopyTo(memory);
        return memory.ToArray();
    }

    public void Dispose() => Client.Dispose();
}
