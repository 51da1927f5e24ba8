namespace Loom.Server.Cli;

/// <summary>Exit codes of <c>loom</c>. Scripts depend on them: never renumber.</summary>
internal static class ExitCode
{
    public const int Ok = 0;
    public const int Failure = 1;
    public const int Usage = 2;
    public const int NotFound = 3;
    public const int CompareFailed = 4;
    public const int NoQuorum = 5;
    public const int Unreachable = 6;
    public const int OutcomeUnknown = 7;
    public const int Unhealthy = 9;
    public const int Interrupted = 130;
}
