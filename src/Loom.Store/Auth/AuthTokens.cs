using Loom.Raft.Diagnostics;

namespace Loom.Store.Auth;

/// <summary>A token that was given, as every member learns of it from the log. The token itself is in neither: only a digest of it.</summary>
/// <param name="User">Whom it stands for.</param>
/// <param name="Revision">The auth revision at which the password was right.</param>
/// <param name="Index">The log index of the entry: a part of the token's text, so that a member that has not applied it yet knows to wait.</param>
internal sealed record KnownToken(string User, long Revision, long Index)
{
    /// <summary>
    /// It still stands for its user: who was not deleted, nor given another password, since. That follows from the state, whatever this member missed of the log, so a token never stands for another user of the same name.
    /// </summary>
    public bool StandsIn(AuthState state) => state.FindUser(User) is { } user && state.IsEnabled && Revision >= state.EnabledRevision && IsOfPassword(user);

    private bool IsOfPassword(AuthUser user) =>
#if LOOM_MUTATIONS
        Raft.Diagnostics.Mutations.On("A3-token-outlives-password") ||
#endif
        Revision >= user.CredentialsRevision;
}

/// <summary>
/// The tokens that this member knows: each member's own table, filled by what it applies, and no part of the replicated state. A token ends when it was not used here for its time to live, and when the member
/// restarts or takes another's state, as far as the log that it replays does not name it again; its owner then shows the password again. Any thread.
/// </summary>
/// <remarks>Bounded: <see cref="Limit"/>, then the one that was not used for longest goes. Time is its caller's: the applier, which has no clock, adds; whoever asks or sweeps next says what time that was.</remarks>
internal sealed class AuthTokens
{
    public const int Limit = 65_536;

    private const long Unstamped = -1;

    private readonly Lock gate = new();
    private readonly Dictionary<ReadOnlyMemory<byte>, LinkedListNode<Known>> byDigest = new(DigestEquality.Instance);

    // The one that came, or was used, last at the end.
    private readonly LinkedList<Known> byUse = new();

    public int Count
    {
        get
        {
            lock (gate)
            {
                return byDigest.Count;
            }
        }
    }

    /// <summary>The applier.</summary>
    public void Add(ReadOnlyMemory<byte> digest, KnownToken token)
    {
        lock (gate)
        {
            if (byDigest.Count >= Limit && !byDigest.ContainsKey(digest))
            {
                Remove(byUse.First!);
            }

            // A copy: what is handed in is a part of an entry.
            ReadOnlyMemory<byte> key = digest.ToArray();
            if (byDigest.TryGetValue(key, out LinkedListNode<Known>? known))
            {
                Remove(known);
            }

            byDigest.Add(key, byUse.AddLast(new Known(key, token) { UsedAt = Unstamped }));
        }
    }

    /// <summary>The token with this digest, which is used now; null: there is none, or its time is over.</summary>
    /// <param name="digest">Of what was shown.</param>
    /// <param name="now">Milliseconds of any clock that only goes forward; the same for all calls.</param>
    /// <param name="timeToLive">Milliseconds since it was used last.</param>
    public KnownToken? Use(ReadOnlyMemory<byte> digest, long now, long timeToLive)
    {
        lock (gate)
        {
            if (!byDigest.TryGetValue(digest, out LinkedListNode<Known>? known))
            {
                return null;
            }

            if (IsOver(known.Value, now, timeToLive))
            {
                Remove(known);
                return null;
            }

            known.Value.UsedAt = now;
            byUse.Remove(known);
            byUse.AddLast(known);
            return known.Value.Token;
        }
    }

    /// <summary>Tells those that came since the last look what time it is, and lets those go whose time is over. Looks at all of them: every few seconds, not more often.</summary>
    public void Sweep(long now, long timeToLive)
    {
        lock (gate)
        {
            for (LinkedListNode<Known>? at = byUse.First, next; at is not null; at = next)
            {
                next = at.Next;
                if (at.Value.UsedAt == Unstamped)
                {
                    at.Value.UsedAt = now;
                }
                else if (IsOver(at.Value, now, timeToLive))
                {
                    Remove(at);
                }
            }
        }
    }

    private static bool IsOver(Known known, long now, long timeToLive) => known.UsedAt != Unstamped && now - known.UsedAt > timeToLive;

    private void Remove(LinkedListNode<Known> known)
    {
        byUse.Remove(known);
        byDigest.Remove(known.Value.Digest);
    }

    private sealed class Known(ReadOnlyMemory<byte> digest, KnownToken token)
    {
        public ReadOnlyMemory<byte> Digest { get; } = digest;

        public KnownToken Token { get; } = token;

        public long UsedAt { get; set; }
    }

    /// <summary>Only for look-ups: nothing is ever enumerated in its order.</summary>
    private sealed class DigestEquality : IEqualityComparer<ReadOnlyMemory<byte>>
    {
        public static readonly DigestEquality Instance = new();

        public bool Equals(ReadOnlyMemory<byte> x, ReadOnlyMemory<byte> y) => x.Span.SequenceEqual(y.Span);

        public int GetHashCode(ReadOnlyMemory<byte> digest) => (int)Crc32C.Append(Crc32C.Start, digest.Span);
    }
}
