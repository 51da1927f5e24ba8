using System.Security.Cryptography;
using Loom.Raft;
using Loom.Store.Applying;
using Loom.Store.Auth;
using Loom.Store.Callers;
using Loom.Store.Commands;
using Loom.Store.Machine;
using Loom.Store.Model;
using Loom.Store.Passwords;
using Loom.Store.Reads;

namespace Loom.Store;

/// <summary>
/// Users, roles and tokens, as etcd's: a user has roles, a role has permissions on ranges of keys, and once authentication is enabled every caller needs a token, and a role for what he does. Safe from any thread.
/// Cancelling a call stops the waiting, not the change.
/// </summary>
/// <remarks>
/// The process that embeds the store is no caller: what it calls on the store itself has every right, enabled or not. <see cref="ILoomStore.As"/> gives a view that is judged.
/// <para>Durability: a change that returned is flushed on a majority of voters and applied here; it holds for everything that comes after it in the log, on every member. Reads here are linearizable.</para>
/// <para>Only root may call what is here, once it is enabled, but for <see cref="AuthenticateAsync"/>, one's own user and the roles that one has.</para>
/// <para>Errors: <see cref="LoomException"/>; its <see cref="LoomException.Outcome"/> says what is known.</para>
/// </remarks>
public sealed class LoomAuth
{
    private const int MaxTries = 8;
    private const string Letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    private const int SecretLetters = 16;

    private readonly LoomStateMachine machine;
    private readonly CallerAccess access;
    private readonly PasswordHashes passwords;

    internal LoomAuth(LoomStateMachine machine, CallerAccess access, PasswordHashes passwords)
    {
        this.machine = machine;
        this.access = access;
        this.passwords = passwords;
    }

    /// <summary>Whether authentication is enabled, and the auth revision, which counts changes of users and roles.</summary>
    public async ValueTask<AuthStatus> StatusAsync(CancellationToken cancellationToken = default)
    {
        (AuthState auth, Revision revision) = await ReadAsync(static (_, user) => user.IsRoot, cancellationToken).ConfigureAwait(false);
        return new AuthStatus(revision, auth.IsEnabled, auth.Revision);
    }

    /// <summary>Enables authentication. It stays as it is where it is enabled already. Returns the store's revision, which no call here changes.</summary>
    /// <exception cref="LoomException">
    /// RootUserMissing, RootRoleMissing. InvalidRequest: a caller (<see cref="ILoomStore.As"/>) enables it while no user with the role root has a password, so that no caller could disable it; the embedding process may.
    /// </exception>
    public async ValueTask<Revision> EnableAsync(CancellationToken cancellationToken = default)
    {
        if (!access.Trusts)
        {
            await access.WaitAsync(ReadConsistency.Linearizable, cancellationToken).ConfigureAwait(false);
            RequireWayBack(access.Auth.State);
        }

        return await ChangeAsync(new AuthSwitchCommand(Enables: true), cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Disables authentication: everybody may do everything. Users and roles stay; tokens end.</summary>
    public ValueTask<Revision> DisableAsync(CancellationToken cancellationToken = default) => ChangeAsync(new AuthSwitchCommand(Enables: false), cancellationToken);

    /// <summary>
    /// A token for a user, to be shown with each call (<see cref="LoomIdentity.OfToken"/>), on any member. It ends when it was not used on a member for <see cref="LoomOptions.AuthTokenTimeToLive"/>, there; when the
    /// user is deleted or gets another password, or authentication is disabled, everywhere; and perhaps on a member that restarts. Then authenticate again.
    /// </summary>
    /// <exception cref="LoomException">AuthNotEnabled, AuthenticationFailed, NoPasswordUser. Overloaded: too many passwords are being looked at.</exception>
    public async ValueTask<AuthToken> AuthenticateAsync(string user, string password, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(user);
        ArgumentNullException.ThrowIfNull(password);
        for (int tries = 1; ; tries++)
        {
            await access.BarrierAsync(cancellationToken).ConfigureAwait(false);
            AuthState auth = machine.Serving.Auth.State;
            await VerifyAsync(auth, user, password, cancellationToken).ConfigureAwait(false);
            string secret = RandomNumberGenerator.GetString(Letters, SecretLetters);
            try
            {
                ProposalResult answer = await access.ProposeTrustedAsync(new AuthenticateCommand(user, LoomIdentity.DigestOf(secret), auth.Revision), cancellationToken).ConfigureAwait(false);
                return new AuthToken(new Revision(answer.Outcome.Revision), string.Create(System.Globalization.CultureInfo.InvariantCulture, $"{secret}.{answer.Outcome.Extra}"));
            }
            catch (LoomException fault) when (fault.Code == LoomErrorCode.AuthRevisionOld && tries < MaxTries)
            {
                // Users changed while the password was looked at: it may be another by now.
            }
        }
    }

    /// <summary>Adds a user, without roles.</summary>
    /// <param name="name">At most 256 bytes of UTF-8.</param>
    /// <param name="password">At most 72 bytes of UTF-8; only its hash is kept. Null: no password will ever open it.</param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    /// <exception cref="LoomException">UserNameEmpty, UserExists, TooMuchAuth.</exception>
    public async ValueTask<Revision> AddUserAsync(string name, string? password, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(name);
        byte[] hash = password is null ? [] : await HashAsync(password, cancellationToken).ConfigureAwait(false);
        return await ChangeAsync(new UserAddCommand(name, hash, password is not null), cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Deletes a user; its tokens end.</summary>
    /// <exception cref="LoomException">UserNotFound. InvalidAuthManagement: it is root, and authentication is enabled.</exception>
    public ValueTask<Revision> DeleteUserAsync(string name, CancellationToken cancellationToken = default) => ChangeAsync(new UserDeleteCommand(Given(name)), cancellationToken);

    /// <summary>Gives a user another password; its tokens end. One that was added without stays without.</summary>
    /// <exception cref="LoomException">UserNotFound.</exception>
    public async ValueTask<Revision> ChangePasswordAsync(string name, string password, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(name);
        ArgumentNullException.ThrowIfNull(password);
        byte[] hash = await HashAsync(password, cancellationToken).ConfigureAwait(false);
        return await ChangeAsync(new UserPasswordCommand(name, hash), cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Gives a user a role. The role root, which may do everything, need not be made.</summary>
    /// <exception cref="LoomException">UserNotFound, RoleNotFound.</exception>
    public ValueTask<Revision> GrantRoleAsync(string user, string role, CancellationToken cancellationToken = default) =>
        ChangeAsync(new UserRoleCommand(Grants: true, Given(user), Given(role)), cancellationToken);

    /// <summary>Takes a role from a user.</summary>
    /// <exception cref="LoomException">UserNotFound, RoleNotGranted. InvalidAuthManagement: it is root's role root, and authentication is enabled.</exception>
    public ValueTask<Revision> RevokeRoleAsync(string user, string role, CancellationToken cancellationToken = default) =>
        ChangeAsync(new UserRoleCommand(Grants: false, Given(user), Given(role)), cancellationToken);

    /// <summary>The roles of a user, by name. Also for the user itself.</summary>
    /// <exception cref="LoomException">UserNotFound.</exception>
    public async ValueTask<AuthNames> GetUserAsync(string name, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(name);
        (AuthState auth, Revision revision) = await ReadAsync((_, user) => user.IsRoot || user.Name == name, cancellationToken).ConfigureAwait(false);
        return auth.FindUser(name) is { } found ? new AuthNames(revision, found.Roles) : throw Refusals.ToException(LoomErrorCode.UserNotFound);
    }

    /// <summary>All users, by name.</summary>
    public async ValueTask<AuthNames> ListUsersAsync(CancellationToken cancellationToken = default)
    {
        (AuthState auth, Revision revision) = await ReadAsync(static (_, user) => user.IsRoot, cancellationToken).ConfigureAwait(false);
        return new AuthNames(revision, [.. auth.Users.Select(user => user.Name)]);
    }

    /// <summary>Adds a role, without permissions.</summary>
    /// <exception cref="LoomException">RoleNameEmpty, RoleExists, TooMuchAuth.</exception>
    public ValueTask<Revision> AddRoleAsync(string name, CancellationToken cancellationToken = default) => ChangeAsync(new RoleCommand(Adds: true, Given(name)), cancellationToken);

    /// <summary>Deletes a role; no user has it any more.</summary>
    /// <exception cref="LoomException">RoleNotFound. InvalidAuthManagement: it is root, and authentication is enabled.</exception>
    public ValueTask<Revision> DeleteRoleAsync(string name, CancellationToken cancellationToken = default) => ChangeAsync(new RoleCommand(Adds: false, Given(name)), cancellationToken);

    /// <summary>Gives a role a permission, in place of the one that it has on exactly this range.</summary>
    /// <exception cref="LoomException">RoleNotFound, TooMuchAuth. InvalidAuthManagement: the range is empty.</exception>
    public ValueTask<Revision> GrantPermissionAsync(string role, Permission permission, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(permission);
        return ChangeAsync(new RolePermissionCommand(Grants: true, Given(role), permission), cancellationToken);
    }

    /// <summary>Takes from a role the permission on exactly this range.</summary>
    /// <exception cref="LoomException">RoleNotFound, PermissionNotGranted.</exception>
    public ValueTask<Revision> RevokePermissionAsync(string role, KeyRange range, CancellationToken cancellationToken = default) =>
        ChangeAsync(new RolePermissionCommand(Grants: false, Given(role), new Permission(PermissionKind.Read, range)), cancellationToken);

    /// <summary>The permissions of a role, by range. (The role root permits everything without having any.) Also for whoever has the role.</summary>
    /// <exception cref="LoomException">RoleNotFound.</exception>
    public async ValueTask<AuthPermissions> GetRoleAsync(string name, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(name);
        (AuthState auth, Revision revision) = await ReadAsync((_, user) => user.IsRoot || user.HasRole(name), cancellationToken).ConfigureAwait(false);
        return auth.FindRole(name) is { } found ? new AuthPermissions(revision, found.Permissions) : throw Refusals.ToException(LoomErrorCode.RoleNotFound);
    }

    /// <summary>All roles, by name.</summary>
    public async ValueTask<AuthNames> ListRolesAsync(CancellationToken cancellationToken = default)
    {
        (AuthState auth, Revision revision) = await ReadAsync(static (_, user) => user.IsRoot, cancellationToken).ConfigureAwait(false);
        return new AuthNames(revision, [.. auth.Roles.Select(role => role.Name)]);
    }

    /// <summary>Refuses a caller of whom nothing is known, by what this replica has applied. For what a server gives to any user and the store does not judge, such as <see cref="ILoomStore.Status"/>.</summary>
    /// <exception cref="LoomException">AuthenticationRequired, InvalidToken.</exception>
    public async ValueTask RequireUserAsync(CancellationToken cancellationToken = default)
    {
        await access.WaitAsync(ReadConsistency.Local, cancellationToken).ConfigureAwait(false);
        access.RequireUser();
    }

    /// <summary>Refuses everybody but root, by what this replica has applied. For what a server does and the store does not judge.</summary>
    /// <exception cref="LoomException">AuthenticationRequired, InvalidToken, PermissionDenied.</exception>
    public ValueTask RequireRootAsync(CancellationToken cancellationToken = default) => access.RequireRootAsync(cancellationToken);

    private async ValueTask<Revision> ChangeAsync(AuthCommand command, CancellationToken cancellationToken) =>
        new((await access.ProposeAsync(command, cancellationToken).ConfigureAwait(false)).Outcome.Revision);

    /// <summary>Users and roles, for whom the rule permits that.</summary>
    private async ValueTask<(AuthState Auth, Revision Revision)> ReadAsync(Func<AuthState, AuthUser, bool> rule, CancellationToken cancellationToken)
    {
        await access.WaitAsync(ReadConsistency.Linearizable, cancellationToken).ConfigureAwait(false);
        AuthState auth = machine.Serving.Auth.State;
        access.Require(auth, (state, user) => rule(state, user) ? 0 : LoomErrorCode.PermissionDenied);
        return (auth, new Revision(machine.Revision));
    }

    /// <summary>Only root's passwords are worth the time: whoever may not set one is told so before.</summary>
    private async ValueTask<byte[]> HashAsync(string password, CancellationToken cancellationToken)
    {
        await RequireRootAsync(cancellationToken).ConfigureAwait(false);
        return await passwords.HashAsync(password, cancellationToken).ConfigureAwait(false);
    }

    private async ValueTask VerifyAsync(AuthState auth, string name, string password, CancellationToken cancellationToken)
    {
        if (!auth.IsEnabled)
        {
            throw Refusals.ToException(LoomErrorCode.AuthNotEnabled);
        }

        AuthUser? user = auth.FindUser(name);
        if (user is { HasPassword: false })
        {
            throw Refusals.ToException(LoomErrorCode.NoPasswordUser);
        }

        if (!await passwords.VerifyAsync(password, user?.PasswordHash ?? default, cancellationToken).ConfigureAwait(false))
        {
            throw Refusals.ToException(LoomErrorCode.AuthenticationFailed);
        }
    }

    /// <summary>Against a slip of whoever sets it up, not a rule of the state: the next call may take the password away again. Without a root at all the state's own rules say so.</summary>
    private static void RequireWayBack(AuthState auth)
    {
        if (!auth.IsEnabled && auth.FindUser(AuthUser.Root) is { IsRoot: true } && !auth.Users.Any(user => user is { IsRoot: true, HasPassword: true }))
        {
            throw Refusals.ToException(new Fault(
                LoomErrorCode.InvalidRequest, "authentication stays disabled: no user with the role root has a password, so nobody could log in to disable it. Delete the user root and add it with a password, or give the role root to a user who has one"));
        }
    }

    private static string Given(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        return name;
    }
}
