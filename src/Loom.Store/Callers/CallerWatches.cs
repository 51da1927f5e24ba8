using Loom.Store.Auth;
using Loom.Store.Machine;
using Loom.Store.Model;
using Loom.Store.Reads;

namespace Loom.Store.Callers;

/// <summary>
/// The identity behind a stream of watches. A watch is judged when it begins, as in etcd, and again, unlike there, before each batch of its events: a permission that was taken away holds for everything applied
/// after it. The token is looked at only when a watch begins: a watch lives longer than a token. But not longer than the user who began it: one who was deleted, or has another password, ends it, and the next of
/// the name reads nothing of it.
/// </summary>
internal sealed class CallerWatches(CallerAccess access)
{
    private Reader? reader;

    /// <summary>Refuses a watch that may not begin.</summary>
    public void RequireBegin(KeyRange range) => RequireReader(access.Auth.State, range);

    /// <summary>Why what happened in a range may not be told any more; null: it may.</summary>
    public LoomException? Refusal(KeyRange range)
    {
        try
        {
            AuthState auth = access.Auth.State;
            if (!auth.IsEnabled || Volatile.Read(ref reader) is not { } first)
            {
                RequireReader(auth, range);
                return null;
            }

            LoomErrorCode refusal = auth.FindUser(first.Name) is { } user && Reader.Of(user) == first ? Authorisation.CheckRead(auth, user, range) : LoomErrorCode.InvalidToken;
            return refusal == 0 ? null : Refusals.ToException(refusal);
        }
        catch (LoomException fault)
        {
            return fault;
        }
    }

    /// <summary>By the identity. All watches of a stream are the first one's user's.</summary>
    private void RequireReader(AuthState auth, KeyRange range)
    {
        access.RequireRead(auth, range);
        if (access.NameIn(auth) is { } name && auth.FindUser(name) is { } user)
        {
            var found = Reader.Of(user);
            if (Interlocked.CompareExchange(ref reader, found, null) is { } first && first != found)
            {
                throw Refusals.ToException(LoomErrorCode.InvalidToken);
            }
        }
    }

    /// <summary>A user, and not another one of the name.</summary>
    private sealed record Reader(string Name, long CredentialsRevision)
    {
        public static Reader Of(AuthUser user) => new(user.Name, user.CredentialsRevision);
    }
}
