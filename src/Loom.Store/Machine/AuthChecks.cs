using System.Text;
using Loom.Store.Auth;
using Loom.Store.Commands;
using Loom.Store.Model;
using Loom.Store.Mvcc;

namespace Loom.Store.Machine;

/// <summary>What makes a command for users and roles impossible whatever they are (see <see cref="RequestChecks"/>).</summary>
internal static class AuthChecks
{
    private static readonly Fault NoUser = new(LoomErrorCode.UserNameEmpty, "the name of the user is empty. Give one");
    private static readonly Fault NoRole = new(LoomErrorCode.RoleNameEmpty, "the name of the role is empty. Give one");
    private static readonly Fault LongName = new(LoomErrorCode.InvalidRequest, "the name of a user or role is longer than 256 bytes. Shorten it");
    private static readonly Fault LongHash = new(LoomErrorCode.InvalidRequest, "the hash of a password is longer than 128 bytes. It is none");
    private static readonly Fault NotGiven = new(LoomErrorCode.PermissionNotGiven, "the kind of the permission is not known. Use read, write or readwrite");
    private static readonly Fault EmptyRange = new(LoomErrorCode.InvalidAuthManagement, "the permission's range holds no key. Its end must be above its start");
    private static readonly Fault LongKey = new(LoomErrorCode.InvalidRequest, "a key of the permission is longer than 65,535 bytes, as no key may be. Shorten it");

    public static Fault? Check(Command command) => command switch
    {
        UserAddCommand user => CheckUser(user.Name) ?? CheckHash(user.PasswordHash),
        UserPasswordCommand user => CheckLength(user.Name) ?? CheckHash(user.PasswordHash),
        UserDeleteCommand user => CheckLength(user.Name),
        UserRoleCommand role => CheckLength(role.User) ?? CheckLength(role.Role),
        RoleCommand role => role.Adds && role.Name.Length == 0 ? NoRole : CheckLength(role.Name),
        RolePermissionCommand role => CheckLength(role.Role) ?? (role.Grants ? CheckGranted(role.Permission) : null),
        AuthenticateCommand token => CheckLength(token.User),
        _ => null,
    };

    private static Fault? CheckUser(string name) => name.Length == 0 ? NoUser : CheckLength(name);

    private static Fault? CheckLength(string name) => Encoding.UTF8.GetByteCount(name) > AuthLimits.MaxNameBytes ? LongName : null;

    private static Fault? CheckHash(ReadOnlyMemory<byte> hash) => hash.Length > AuthLimits.MaxHashBytes ? LongHash : null;

    private static Fault? CheckGranted(Permission permission)
    {
        KeyRange range = permission.Range;
        return permission.Kind > PermissionKind.ReadWrite ? NotGiven
            : range.Start.IsEmpty || range.IsEmpty() ? EmptyRange
            : range.Start.Length > CommandLimits.MaxKeyBytes || range.End.Length > CommandLimits.MaxKeyBytes ? LongKey
            : null;
    }
}
