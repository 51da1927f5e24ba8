using Google.Protobuf;
using Grpc.Core;
using Loom.Server.Etcd.Translation;
using Loom.Store;
using Loom.Store.Model;
using Wire = Loom.Server.Etcd.Protos;

namespace Loom.Server.Etcd;

/// <summary>etcd's Auth: each method is one translation and one call; who may make it is the store's to say.</summary>
internal sealed class AuthService(Callers callers, HeaderSource headers, RefusedLogins refused) : Wire.Auth.AuthBase
{
    public override Task<Wire.AuthEnableResponse> AuthEnable(Wire.AuthEnableRequest request, ServerCallContext context) =>
        CallAsync(context, static auth => auth.EnableAsync(CancellationToken.None), static header => new Wire.AuthEnableResponse { Header = header });

    public override Task<Wire.AuthDisableResponse> AuthDisable(Wire.AuthDisableRequest request, ServerCallContext context) =>
        CallAsync(context, static auth => auth.DisableAsync(CancellationToken.None), static header => new Wire.AuthDisableResponse { Header = header });

    public override Task<Wire.AuthStatusResponse> AuthStatus(Wire.AuthStatusRequest request, ServerCallContext context) => ReadAsync(context, async auth =>
    {
        AuthStatus status = await auth.StatusAsync(CancellationToken.None).ConfigureAwait(false);
        return new Wire.AuthStatusResponse { Header = headers.At(status.Revision), Enabled = status.IsEnabled, AuthRevision = (ulong)status.AuthRevision };
    });

    /// <summary>Who asks shows a password and no token; one that is sent along, as of a client that renews it, is not looked at.</summary>
    public override Task<Wire.AuthenticateResponse> Authenticate(Wire.AuthenticateRequest request, ServerCallContext context) => ReadAsync(context, async auth =>
    {
        try
        {
            AuthToken token = await auth.AuthenticateAsync(request.Name, request.Password, CancellationToken.None).ConfigureAwait(false);
            return new Wire.AuthenticateResponse { Header = headers.At(token.Revision), Token = token.Text };
        }
        catch (LoomException exception) when (exception.Code is LoomErrorCode.AuthenticationFailed or LoomErrorCode.NoPasswordUser)
        {
            refused.Add(request.Name, context.Peer);
            throw;
        }
    });

    /// <summary>The hash that a client may send along is not looked at, as in etcd.</summary>
    public override Task<Wire.AuthUserAddResponse> UserAdd(Wire.AuthUserAddRequest request, ServerCallContext context)
    {
        string? password = request.Options?.NoPassword == true ? null : request.Password;
        return CallAsync(context, auth => auth.AddUserAsync(request.Name, password, CancellationToken.None), static header => new Wire.AuthUserAddResponse { Header = header });
    }

    public override Task<Wire.AuthUserGetResponse> UserGet(Wire.AuthUserGetRequest request, ServerCallContext context) => ReadAsync(context, async auth =>
    {
        AuthNames roles = await auth.GetUserAsync(request.Name, CancellationToken.None).ConfigureAwait(false);
        return new Wire.AuthUserGetResponse { Header = headers.At(roles.Revision), Roles = { roles.Names } };
    });

    public override Task<Wire.AuthUserListResponse> UserList(Wire.AuthUserListRequest request, ServerCallContext context) => ReadAsync(context, async auth =>
    {
        AuthNames users = await auth.ListUsersAsync(CancellationToken.None).ConfigureAwait(false);
        return new Wire.AuthUserListResponse { Header = headers.At(users.Revision), Users = { users.Names } };
    });

    public override Task<Wire.AuthUserDeleteResponse> UserDelete(Wire.AuthUserDeleteRequest request, ServerCallContext context) =>
        CallAsync(context, auth => auth.DeleteUserAsync(request.Name, CancellationToken.None), static header => new Wire.AuthUserDeleteResponse { Header = header });

    public override Task<Wire.AuthUserChangePasswordResponse> UserChangePassword(Wire.AuthUserChangePasswordRequest request, ServerCallContext context) => CallAsync(
        context, auth => auth.ChangePasswordAsync(request.Name, request.Password, CancellationToken.None), static header => new Wire.AuthUserChangePasswordResponse { Header = header });

    public override Task<Wire.AuthUserGrantRoleResponse> UserGrantRole(Wire.AuthUserGrantRoleRequest request, ServerCallContext context) =>
        CallAsync(context, auth => auth.GrantRoleAsync(request.User, request.Role, CancellationToken.None), static header => new Wire.AuthUserGrantRoleResponse { Header = header });

    public override Task<Wire.AuthUserRevokeRoleResponse> UserRevokeRole(Wire.AuthUserRevokeRoleRequest request, ServerCallContext context) =>
        CallAsync(context, auth => auth.RevokeRoleAsync(request.Name, request.Role, CancellationToken.None), static header => new Wire.AuthUserRevokeRoleResponse { Header = header });

    public override Task<Wire.AuthRoleAddResponse> RoleAdd(Wire.AuthRoleAddRequest request, ServerCallContext context) =>
        CallAsync(context, auth => auth.AddRoleAsync(request.Name, CancellationToken.None), static header => new Wire.AuthRoleAddResponse { Header = header });

    public override Task<Wire.AuthRoleGetResponse> RoleGet(Wire.AuthRoleGetRequest request, ServerCallContext context) => ReadAsync(context, async auth =>
    {
        AuthPermissions role = await auth.GetRoleAsync(request.Role, CancellationToken.None).ConfigureAwait(false);
        return new Wire.AuthRoleGetResponse { Header = headers.At(role.Revision), Perm = { role.Permissions.Select(Translate) } };
    });

    public override Task<Wire.AuthRoleListResponse> RoleList(Wire.AuthRoleListRequest request, ServerCallContext context) => ReadAsync(context, async auth =>
    {
        AuthNames roles = await auth.ListRolesAsync(CancellationToken.None).ConfigureAwait(false);
        return new Wire.AuthRoleListResponse { Header = headers.At(roles.Revision), Roles = { roles.Names } };
    });

    public override Task<Wire.AuthRoleDeleteResponse> RoleDelete(Wire.AuthRoleDeleteRequest request, ServerCallContext context) =>
        CallAsync(context, auth => auth.DeleteRoleAsync(request.Role, CancellationToken.None), static header => new Wire.AuthRoleDeleteResponse { Header = header });

    public override Task<Wire.AuthRoleGrantPermissionResponse> RoleGrantPermission(Wire.AuthRoleGrantPermissionRequest request, ServerCallContext context)
    {
        // A kind that there is not must not become one that there is.
        Permission permission = request.Perm is { } given && (int)given.PermType is >= 0 and <= byte.MaxValue
            ? new Permission((PermissionKind)given.PermType, new KeyRange(given.Key.Memory, given.RangeEnd.Memory))
            : throw EtcdError.Refused(LoomErrorCode.PermissionNotGiven);
        return CallAsync(
            context, auth => auth.GrantPermissionAsync(request.Name, permission, CancellationToken.None), static header => new Wire.AuthRoleGrantPermissionResponse { Header = header });
    }

    public override Task<Wire.AuthRoleRevokePermissionResponse> RoleRevokePermission(Wire.AuthRoleRevokePermissionRequest request, ServerCallContext context) => CallAsync(
        context,
        auth => auth.RevokePermissionAsync(request.Role, new KeyRange(request.Key.Memory, request.RangeEnd.Memory), CancellationToken.None),
        static header => new Wire.AuthRoleRevokePermissionResponse { Header = header });

    private static Wire.Permission Translate(Permission permission) => new()
    {
        PermType = (Wire.Permission.Types.Type)permission.Kind,
        Key = UnsafeByteOperations.UnsafeWrap(permission.Range.Start),
        RangeEnd = UnsafeByteOperations.UnsafeWrap(permission.Range.End),
    };

    private Task<T> CallAsync<T>(ServerCallContext context, Func<LoomAuth, ValueTask<Revision>> call, Func<Wire.ResponseHeader, T> answer) =>
        ReadAsync(context, async auth => answer(headers.At(await call(auth).ConfigureAwait(false))));

    private Task<T> ReadAsync<T>(ServerCallContext context, Func<LoomAuth, Task<T>> call) => call(callers.For(context).Auth);
}
