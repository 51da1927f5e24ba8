namespace Loom.Store;

/// <summary>
/// On whose behalf a call is made (<see cref="ILoomStore.As"/>). The process that embeds a store is trusted: what it calls on the store itself has every right. A server in front of the store gives each
/// of its callers a view with the caller's identity instead.
/// </summary>
/// <remarks>While authentication is not enabled an identity changes nothing.</remarks>
public sealed class LoomIdentity
{
    private LoomIdentity(string? user, string? token)
    {
        User = user;
        Token = token;
    }

    /// <summary>A caller of whom nothing is known. With authentication enabled nothing is permitted to it.</summary>
    public static LoomIdentity Anonymous { get; } = new(null, null);

    /// <summary>The user's name, where the process that embeds the store has made sure by itself who calls; else null.</summary>
    internal string? User { get; }

    /// <summary>The token that the caller showed; else null.</summary>
    internal string? Token { get; }

    /// <summary>Whoever was given this token. It is looked at in each call: one that has ended, or never was, has no rights.</summary>
    public static LoomIdentity OfToken(string token)
    {
        ArgumentNullException.ThrowIfNull(token);
        return new(null, token);
    }

    /// <summary>A user, by name, without a password: for a process that has made sure by its own means who calls.</summary>
    public static LoomIdentity OfUser(string name)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        return new(name, null);
    }
}
