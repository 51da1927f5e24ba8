using Loom.Store.Auth;
using NUnit.Framework;

namespace Loom.Store.Tests.Auth;

internal sealed class AuthTokensTests
{
    private const long Ttl = 300_000;

    [Test]
    public void A_token_lives_from_its_last_use()
    {
        var tokens = new AuthTokens();
        tokens.Add(Digest(1), new KnownToken("ann", 1, 1));
        Assert.That(tokens.Use(Digest(1), 1_000_000, Ttl)?.User, Is.EqualTo("ann"), "nobody had told it the time: it begins with the first use");
        Assert.That(tokens.Use(Digest(1), 1_000_000 + Ttl, Ttl), Is.Not.Null);
        Assert.That(tokens.Use(Digest(1), 1_000_001 + (2 * Ttl), Ttl), Is.Null);
        Assert.That(tokens.Use(Digest(1), 1_000_001 + (2 * Ttl), Ttl), Is.Null, "and it stays away");
        Assert.That(tokens.Count, Is.Zero);
    }

    [Test]
    public void A_token_that_nobody_uses_goes_after_its_time()
    {
        var tokens = new AuthTokens();
        tokens.Add(Digest(1), new KnownToken("ann", 1, 1));
        tokens.Add(Digest(2), new KnownToken("bob", 1, 2));
        tokens.Sweep(5000, Ttl);
        tokens.Use(Digest(2), 200_000, Ttl);
        tokens.Sweep(5001 + Ttl, Ttl);
        Assert.That((tokens.Count, tokens.Use(Digest(1), 5001 + Ttl, Ttl)?.User, tokens.Use(Digest(2), 5001 + Ttl, Ttl)?.User), Is.EqualTo((1, (string?)null, "bob")));
    }

    [Test]
    public void The_table_is_bounded_and_the_one_unused_for_longest_goes()
    {
        var tokens = new AuthTokens();
        for (int i = 0; i < AuthTokens.Limit; i++)
        {
            tokens.Add(Digest(i), new KnownToken("ann", 1, i));
        }

        tokens.Use(Digest(0), 1, Ttl);
        tokens.Add(Digest(-1), new KnownToken("bob", 1, -1));
        Assert.That((tokens.Count, tokens.Use(Digest(0), 2, Ttl)?.Index, tokens.Use(Digest(1), 2, Ttl)?.Index, tokens.Use(Digest(-1), 2, Ttl)?.User), Is.EqualTo((AuthTokens.Limit, 0L, (long?)null, "bob")));
    }

    private static byte[] Digest(int number) => [.. BitConverter.GetBytes(number), .. new byte[28]];
}
