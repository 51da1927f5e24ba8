namespace Loom.Store.Auth;

/// <summary>
/// Bounds of users and roles. All of them are in every checkpoint and snapshot, whose description is read only up to 32 MiB (leases may take 12 MB of it), and each change copies one of the lists.
/// </summary>
internal static class AuthLimits
{
    public const int MaxUsers = 10_000;

    public const int MaxRoles = 10_000;

    /// <summary>Roles of one user.</summary>
    public const int MaxRolesOfUser = 1_000;

    /// <summary>Permissions of one role.</summary>
    public const int MaxPermissions = 1_000;

    /// <summary>Longest name of a user or role, in bytes of UTF-8.</summary>
    public const int MaxNameBytes = 256;

    /// <summary>Longest hash of a password. bcrypt's is 60.</summary>
    public const int MaxHashBytes = 128;

    /// <summary>Users, roles and permissions together, as encoded.</summary>
    public const int MaxBytes = 8 << 20;
}
