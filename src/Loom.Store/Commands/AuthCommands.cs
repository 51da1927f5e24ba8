using Loom.Store.Model;

namespace Loom.Store.Commands;

/// <summary>A change of users, roles or of whether they count. Only for root, once they count.</summary>
internal abstract record AuthCommand : Command;

/// <summary>Enables authentication, or disables it.</summary>
internal sealed record AuthSwitchCommand(bool Enables) : AuthCommand;

/// <summary>Adds a user. The password was hashed before: the log never holds one.</summary>
internal sealed record UserAddCommand(string Name, ReadOnlyMemory<byte> PasswordHash, bool HasPassword) : AuthCommand;

internal sealed record UserDeleteCommand(string Name) : AuthCommand;

internal sealed record UserPasswordCommand(string Name, ReadOnlyMemory<byte> PasswordHash) : AuthCommand;

/// <summary>Gives a user a role, or takes it away.</summary>
internal sealed record UserRoleCommand(bool Grants, string User, string Role) : AuthCommand;

/// <summary>Adds a role without permissions, or deletes one.</summary>
internal sealed record RoleCommand(bool Adds, string Name) : AuthCommand;

/// <summary>Gives a role a permission, in place of the one that it has on the same range; or takes it away, of whatever kind it is.</summary>
internal sealed record RolePermissionCommand(bool Grants, string Role, Permission Permission) : AuthCommand;

/// <summary>
/// A token for a user whose password was found to be right at this auth revision. The entry carries a digest of the token; whoever asked has the token itself. It is the cluster's own command: who asks is not known yet.
/// </summary>
internal sealed record AuthenticateCommand(string User, ReadOnlyMemory<byte> TokenDigest, long AuthRevision) : Command;
