
namespace Loom.Store.Auth;

/// <summary>
/// Users, roles and whether they count: a value of the replicated state, changed by entries alone (T4), kept with it in checkpoints, snapshots and backups. Never changed itself: a change is another one.
/// Invariant: users and roles ascend by name (ordinal), each once, within <see cref="AuthLimits"/>; <see cref="Revision"/> grows with every change of them.
/// </summary>
internal sealed class AuthState
{
    private readonly AuthUser[] users;
    private readonly AuthRole[] roles;
    private int encodedBytes = -1;

    private AuthState(bool isEnabled, long revision, long enabledRevision, AuthUser[] users, AuthRole[] roles)
    {
        IsEnabled = isEnabled;
        Revision = revision;
        EnabledRevision = enabledRevision;
        this.users = users;
        this.roles = roles;
    }

    /// <summary>Nobody, and nobody is asked for. Revision 1, as in etcd.</summary>
    public static AuthState Initial { get; } = new(false, 1, 0, [], []);

    /// <summary>Callers are asked who they are.</summary>
    public bool IsEnabled { get; }

    /// <summary>Counts changes. A caller's command names the one at which it was judged; at another one it is judged again.</summary>
    public long Revision { get; }

    /// <summary>The revision at which it was enabled last: tokens of before are none any more.</summary>
    public long EnabledRevision { get; }

    public IReadOnlyList<AuthUser> Users => users;

    public IReadOnlyList<AuthRole> Roles => roles;

    public int EncodedBytes
    {
        get
        {
            int known = Volatile.Read(ref encodedBytes);
            if (known < 0)
            {
                known = AuthStateCodec.Size(this);
                Volatile.Write(ref encodedBytes, known);
            }

            return known;
        }
    }

    /// <summary>No more than may be.</summary>
    public bool IsWithinLimits => users.Length <= AuthLimits.MaxUsers && roles.Length <= AuthLimits.MaxRoles && EncodedBytes <= AuthLimits.MaxBytes;

    /// <summary>For the codec, which has checked the invariants.</summary>
    public static AuthState Load(bool isEnabled, long revision, long enabledRevision, AuthUser[] users, AuthRole[] roles) => new(isEnabled, revision, enabledRevision, users, roles);

    public AuthUser? FindUser(string name) => Position(users, static user => user.Name, name, out int at) ? users[at] : null;

    public AuthRole? FindRole(string name) => Position(roles, static role => role.Name, name, out int at) ? roles[at] : null;

    /// <summary>It counts from now on. Adds no revision, as in etcd.</summary>
    public AuthState Enabled() => new(true, Revision, Revision, users, roles);

    public AuthState Disabled() => new(false, Revision + 1, EnabledRevision, users, roles);

    /// <summary>With this user in place of the one of its name, or as a new one.</summary>
    public AuthState With(AuthUser user) => new(IsEnabled, Revision + 1, EnabledRevision, Set(users, static one => one.Name, user), roles);

    public AuthState WithoutUser(string name) => new(IsEnabled, Revision + 1, EnabledRevision, [.. users.Where(user => user.Name != name)], roles);

    /// <summary>With this role in place of the one of its name, or as a new one.</summary>
    public AuthState With(AuthRole role) =>
        new(IsEnabled, Revision + 1, EnabledRevision, [.. users.Select(user => user.HasRole(role.Name) ? user.WithOtherRanges() : user)], Set(roles, static one => one.Name, role));

    /// <summary>Without the role; nobody has it any more.</summary>
    public AuthState WithoutRole(string name) => new(
        IsEnabled, Revision + 1, EnabledRevision,
        [.. users.Select(user => user.HasRole(name) ? user.WithOtherRanges() with { Roles = [.. user.Roles.Where(role => role != name)] } : user)],
        [.. roles.Where(role => role.Name != name)]);

    public byte[] Encode() => AuthStateCodec.Encode(this);

    private static T[] Set<T>(T[] all, Func<T, string> name, T one) =>
        Position(all, name, name(one), out int at) ? [.. all[..at], one, .. all[(at + 1)..]] : [.. all[..at], one, .. all[at..]];

    private static bool Position<T>(T[] all, Func<T, string> name, string wanted, out int at)
    {
        int high = all.Length;
        at = 0;
        while (at < high)
        {
            int middle = (at + high) / 2;
            int order = string.CompareOrdinal(name(all[middle]), wanted);
            if (order == 0)
            {
                at = middle;
                return true;
            }

            (at, high) = order < 0 ? (middle + 1, high) : (at, middle);
        }

        return false;
    }
}
