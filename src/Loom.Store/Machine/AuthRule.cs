using Loom.Raft.Sessions;
using Loom.Store.Auth;
using Loom.Store.Commands;
using Loom.Store.Model;
using Loom.Store.Mvcc;

namespace Loom.Store.Machine;

/// <summary>
/// Users and roles, by etcd's rules: enabling needs the user root with the role root; while it is enabled neither can be taken away. Nothing here adds a revision of the store; all but enabling, and what
/// changes nothing, adds an auth revision. Who may ask for it is <see cref="Authorisation"/>'s.
/// </summary>
internal static class AuthRule
{
    public static Decision Decide(AuthCommand command, StagedView state, bool wantsResult)
    {
        AuthState before = state.Auth;
        LoomErrorCode refusal = command switch
        {
            AuthSwitchCommand one => Switch(one, before, out AuthState after) is var code && code == 0 ? Set(state, after) : code,
            UserAddCommand user => before.FindUser(user.Name) is not null
                ? LoomErrorCode.UserExists
                : Set(state, before.With(new AuthUser(user.Name, user.PasswordHash, user.HasPassword, before.Revision + 1, []))),
            UserDeleteCommand user => before.IsEnabled && user.Name == AuthUser.Root ? LoomErrorCode.InvalidAuthManagement
                : before.FindUser(user.Name) is null ? LoomErrorCode.UserNotFound
                : Set(state, before.WithoutUser(user.Name)),
            UserPasswordCommand user => ChangePassword(user, state),
            UserRoleCommand role => role.Grants ? GrantRole(role, state) : RevokeRole(role, state),
            RoleCommand role => role.Adds ? AddRole(role.Name, state) : DeleteRole(role.Name, state),
            RolePermissionCommand role => role.Grants ? GrantPermission(role, state) : RevokePermission(role, state),
            _ => throw new ArgumentOutOfRangeException(nameof(command)),
        };
        return refusal != 0
            ? Decision.Refuse(refusal, state.Batch.BeginRevision)
            : new Decision(new Outcome(0, 0, state.Revision, 0), wantsResult ? new Revision(state.Revision) : null);
    }

    /// <summary>The password was right at one auth revision; if users changed since, it may not be any more. The answer's number is the index of the entry, which the token's text names.</summary>
    public static Decision Authenticate(AuthenticateCommand command, StagedView state, bool wantsResult)
    {
        LoomErrorCode refusal = !state.Auth.IsEnabled ? LoomErrorCode.AuthNotEnabled
            : command.AuthRevision != state.Auth.Revision ? LoomErrorCode.AuthRevisionOld
            : state.Auth.FindUser(command.User) is null ? LoomErrorCode.AuthenticationFailed
            : 0;
        if (refusal != 0)
        {
            return Decision.Refuse(refusal, state.Batch.BeginRevision);
        }

        state.Batch.GiveToken(command.TokenDigest, new KnownToken(command.User, command.AuthRevision, state.EntryIndex));
        return new Decision(new Outcome(0, 0, state.Revision, state.EntryIndex), wantsResult ? new Revision(state.Revision) : null);
    }

    private static LoomErrorCode Set(StagedView state, AuthState after)
    {
        if (!after.IsWithinLimits)
        {
            return LoomErrorCode.TooMuchAuth;
        }

        if (!ReferenceEquals(after, state.Auth))
        {
            state.Batch.SetAuth(after);
        }

        return 0;
    }

    private static LoomErrorCode Switch(AuthSwitchCommand command, AuthState before, out AuthState after)
    {
        after = before;
        if (command.Enables == before.IsEnabled)
        {
            return 0;
        }

        if (!command.Enables)
        {
            after = before.Disabled();
            return 0;
        }

        if (before.FindUser(AuthUser.Root) is not { } root)
        {
            return LoomErrorCode.RootUserMissing;
        }

        after = before.Enabled();
        return root.IsRoot ? 0 : LoomErrorCode.RootRoleMissing;
    }

    private static LoomErrorCode ChangePassword(UserPasswordCommand command, StagedView state)
    {
        if (state.Auth.FindUser(command.Name) is not { } user)
        {
            return LoomErrorCode.UserNotFound;
        }

        // As etcd: a user without a password stays without one; the tokens of either end.
        ReadOnlyMemory<byte> hash = user.HasPassword ? command.PasswordHash : user.PasswordHash;
        return Set(state, state.Auth.With(user with { PasswordHash = hash, CredentialsRevision = state.Auth.Revision + 1 }));
    }

    private static LoomErrorCode GrantRole(UserRoleCommand command, StagedView state)
    {
        if (state.Auth.FindUser(command.User) is not { } user)
        {
            return LoomErrorCode.UserNotFound;
        }

        if (command.Role != AuthUser.Root && state.Auth.FindRole(command.Role) is null)
        {
            return LoomErrorCode.RoleNotFound;
        }

        if (user.HasRole(command.Role))
        {
            return 0;
        }

        return user.Roles.Count == AuthLimits.MaxRolesOfUser
            ? LoomErrorCode.TooMuchAuth
            : Set(state, state.Auth.With(user.WithOtherRanges() with { Roles = [.. user.Roles.Append(command.Role).Order(StringComparer.Ordinal)] }));
    }

    private static LoomErrorCode RevokeRole(UserRoleCommand command, StagedView state)
    {
        if (state.Auth.IsEnabled && command.User == AuthUser.Root && command.Role == AuthUser.Root)
        {
            return LoomErrorCode.InvalidAuthManagement;
        }

        return state.Auth.FindUser(command.User) is not { } user ? LoomErrorCode.UserNotFound
            : !user.HasRole(command.Role) ? LoomErrorCode.RoleNotGranted
            : Set(state, state.Auth.With(user.WithOtherRanges() with { Roles = [.. user.Roles.Where(role => role != command.Role)] }));
    }

    private static LoomErrorCode AddRole(string name, StagedView state) =>
        state.Auth.FindRole(name) is not null ? LoomErrorCode.RoleExists : Set(state, state.Auth.With(new AuthRole(name, [])));

    private static LoomErrorCode DeleteRole(string name, StagedView state) =>
        state.Auth.IsEnabled && name == AuthUser.Root ? LoomErrorCode.InvalidAuthManagement
        : state.Auth.FindRole(name) is null ? LoomErrorCode.RoleNotFound
        : Set(state, state.Auth.WithoutRole(name));

    private static LoomErrorCode GrantPermission(RolePermissionCommand command, StagedView state)
    {
        if (state.Auth.FindRole(command.Role) is not { } role)
        {
            return LoomErrorCode.RoleNotFound;
        }

        // Copies: what the command holds is a part of an entry, which it would keep in memory.
        KeyRange range = new(command.Permission.Range.Start.ToArray(), command.Permission.Range.End.ToArray());
        List<Permission> permissions = [.. role.Permissions.Where(one => AuthStateCodec.Compare(one.Range, range) != 0), new(command.Permission.Kind, range)];
        permissions.Sort(static (x, y) => AuthStateCodec.Compare(x.Range, y.Range));
        return permissions.Count > AuthLimits.MaxPermissions ? LoomErrorCode.TooMuchAuth : Set(state, state.Auth.With(role with { Permissions = permissions }));
    }

    private static LoomErrorCode RevokePermission(RolePermissionCommand command, StagedView state)
    {
        if (state.Auth.FindRole(command.Role) is not { } role)
        {
            return LoomErrorCode.RoleNotFound;
        }

        Permission[] rest = [.. role.Permissions.Where(one => AuthStateCodec.Compare(one.Range, command.Permission.Range) != 0)];
        return rest.Length == role.Permissions.Count ? LoomErrorCode.PermissionNotGranted : Set(state, state.Auth.With(role with { Permissions = rest }));
    }
}
