namespace Loom.Store.Commands;

/// <summary>
/// On whose behalf a command is proposed, as the log carries it. A command without one is the cluster's own, or the embedding process's: it has every right.
/// </summary>
/// <param name="User">The user's name; empty: nobody showed who he is, or nobody was asked when it was proposed.</param>
/// <param name="AuthRevision">The auth revision of the replica that found out who calls; 0 with an empty name. At another one the command is refused, and judged again (<see cref="Machine.Authorisation"/>).</param>
internal sealed record Caller(string User, long AuthRevision)
{
    public static Caller Anonymous { get; } = new("", 0);

    public bool IsAnonymous => User.Length == 0;
}
