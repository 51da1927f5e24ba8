using Loom.Store.Auth;
using Loom.Store.Machine;
using Loom.Store.Model;

namespace Loom.Store.Callers;

/// <summary>
/// The identity behind a stream of watches. A watch is judged when it begins, as in etcd, and again, unlike there, before each batch of its events: a permission that was taken away holds for everything applied
/// after it. The token is looked at only when a watch begins: a watch lives longer than a token.
/// </summary>
internal sealed class CallerWatches(CallerAccess access)
{
    private volatile string? user;

    /// <summary>Refuses a watch that may not begin.</summary>
    public void RequireBegin(KeyRange range)
    {
        AuthState auth = access.Auth.State;
        access.RequireRead(auth, range);
        user = access.NameIn(auth) ?? user;
    }

    /// <summary>Why what happened in a range may not be told any more; null: it may.</summary>
    public LoomException? Refusal(KeyRange range)
    {
        try
        {
            AuthState auth = access.Auth.State;
            if (auth.IsEnabled && user is { } name && auth.FindUser(name) is { } known)
            {
                LoomErrorCode refusal = Authorisation.CheckRead(auth, known, range);
                return refusal == 0 ? null : Reads.Refusals.ToException(refusal);
            }

            access.RequireRead(auth, range);
            return null;
        }
        catch (LoomException fault)
        {
            return fault;
        }
    }
}
