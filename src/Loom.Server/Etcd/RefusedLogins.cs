using Loom.Server.Hosting;

namespace Loom.Server.Etcd;

/// <summary>
/// Logins with a wrong name or password, for whoever reads the log: a line at most every ten seconds, with how many there were since the last one. Who guesses passwords must not fill a disk, and what he sends is not
/// written as it is.
/// </summary>
internal sealed class RefusedLogins(ILogger<RefusedLogins> log)
{
    private const int LongestName = 64;

    private readonly SeldomLine line = new();
    private long count;

    public void Add(string user, string peer)
    {
        Interlocked.Increment(ref count);
        if (line.TryTake())
        {
            log.LogWarning("Refused {Count} logins since the last such line; now one as {User} from {Peer}", Interlocked.Exchange(ref count, 0), Plain(user), peer);
        }
    }

    /// <summary>No line break or colour of a terminal gets into the log.</summary>
    internal static string Plain(string user)
    {
        string shown = user.Length <= LongestName ? user : user[..LongestName] + "...";
        return "\"" + string.Concat(shown.Select(letter => char.IsAsciiLetterOrDigit(letter) || "-_.@/ ".Contains(letter, StringComparison.Ordinal) ? letter : '?')) + "\"";
    }
}
