namespace Loom.Store.Model;

/// <summary>Whether callers are asked who they are.</summary>
/// <param name="Revision">The store's revision then.</param>
/// <param name="IsEnabled">They are.</param>
/// <param name="AuthRevision">Counts changes of users and roles.</param>
public sealed record AuthStatus(Revision Revision, bool IsEnabled, long AuthRevision);

/// <summary>What a user gets for his password.</summary>
/// <param name="Revision">The store's revision then.</param>
/// <param name="Text">To be shown with each call; keep it as you keep a password.</param>
public sealed record AuthToken(Revision Revision, string Text);

/// <summary>Names of users or roles, in ordinal order.</summary>
/// <param name="Revision">The store's revision then.</param>
/// <param name="Names">They.</param>
public sealed record AuthNames(Revision Revision, IReadOnlyList<string> Names);

/// <summary>What a role permits, by range.</summary>
/// <param name="Revision">The store's revision then.</param>
/// <param name="Permissions">Each range once.</param>
public sealed record AuthPermissions(Revision Revision, IReadOnlyList<Permission> Permissions);
