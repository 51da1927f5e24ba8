using System.Globalization;
using System.Security.Cryptography;
using System.Text;

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
        int dot = token?.LastIndexOf('.') ?? -1;
        if (dot > 0 && long.TryParse(token.AsSpan(dot + 1), NumberStyles.None, CultureInfo.InvariantCulture, out long index))
        {
            TokenIndex = index;
            TokenDigest = DigestOf(token![..dot]);
        }
    }

    /// <summary>A caller of whom nothing is known. With authentication enabled nothing is permitted to it.</summary>
    public static LoomIdentity Anonymous { get; } = new(null, null);

    /// <summary>The user's name, where the process that embeds the store has made sure by itself who calls; else null.</summary>
    internal string? User { get; }

    /// <summary>The token that the caller showed; else null.</summary>
    internal string? Token { get; }

    /// <summary>The log's index that the token names; 0: it is no token.</summary>
    internal long TokenIndex { get; }

    /// <summary>What members know of the token.</summary>
    internal ReadOnlyMemory<byte> TokenDigest { get; }

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

    /// <summary>What the log and the members' tables hold of a token: who reads them cannot use it.</summary>
    /// <param name="secret">The part before the dot.</param>
    internal static byte[] DigestOf(string secret) => SHA256.HashData(Encoding.UTF8.GetBytes(secret));
}
