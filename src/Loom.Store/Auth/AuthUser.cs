using Loom.Store.Model;

namespace Loom.Store.Auth;

/// <summary>A user. Invariant: <see cref="Roles"/> ascend, each once; a role in it need not exist (root's need not be made).</summary>
/// <param name="Name">Its name.</param>
/// <param name="PasswordHash">As the hasher wrote it; empty: no password opens it.</param>
/// <param name="HasPassword">False: made without one, so that no password will ever do.</param>
/// <param name="CredentialsRevision">The auth revision at which its password was set: tokens that were given before are none any more.</param>
/// <param name="Roles">Its roles.</param>
internal sealed record AuthUser(string Name, ReadOnlyMemory<byte> PasswordHash, bool HasPassword, long CredentialsRevision, IReadOnlyList<string> Roles)
{
    public const string Root = "root";

    // Made at the first question, of this user's roles in the state that holds it; a state in which one of them changed holds another object. The same value for whoever makes it.
    private PermissionRanges? ranges;

    /// <summary>Has the role that may do everything.</summary>
    public bool IsRoot => HasRole(Root);

    public bool HasRole(string role)
    {
        foreach (string held in Roles)
        {
            if (string.Equals(held, role, StringComparison.Ordinal))
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>What its roles permit together.</summary>
    public PermissionRanges RangesIn(AuthState state)
    {
        PermissionRanges? known = Volatile.Read(ref ranges);
        if (known is null)
        {
            List<Permission> granted = [];
            foreach (string role in Roles)
            {
                granted.AddRange(state.FindRole(role)?.Permissions ?? []);
            }

            known = PermissionRanges.Of(granted);
            Volatile.Write(ref ranges, known);
        }

        return known;
    }

    /// <summary>The same user in a state in which one of its roles is another.</summary>
    public AuthUser WithOtherRanges() => this with { ranges = null };
}

/// <summary>A role. Invariant: <see cref="Permissions"/> ascend by start and end, each range once.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Permissions">What it permits.</param>
internal sealed record AuthRole(string Name, IReadOnlyList<Permission> Permissions);
