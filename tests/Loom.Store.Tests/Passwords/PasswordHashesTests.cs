using Loom.Raft;
using Loom.Store.Passwords;
using NUnit.Framework;

namespace Loom.Store.Tests.Passwords;

/// <summary>What a flood of logins costs a member.</summary>
internal sealed class PasswordHashesTests
{
    private const int MaxWaiting = 256;

    /// <summary>Goal: more than so many are refused at once, and places are given back, by those who give up, too. Method: all are begun before the first, which takes long, can end.</summary>
    [Test]
    public async Task No_more_than_256_passwords_wait_and_who_gives_up_leaves_his_place()
    {
        var hashes = new PasswordHashes(cost: 12);
        for (int round = 0; round < 2; round++)
        {
            using var stop = new CancellationTokenSource();
            Task<bool>[] calls = [.. Enumerable.Range(0, MaxWaiting).Select(_ => hashes.VerifyAsync("secret", default, stop.Token).AsTask())];
            LoomException refused = (await Assert.ThrowsAsync<LoomException>(async () => await hashes.HashAsync("secret", default)))!;
            Assert.That((refused.Code, refused.Outcome), Is.EqualTo((LoomErrorCode.Overloaded, WriteOutcome.NotApplied)));
            await stop.CancelAsync();
            foreach (Task<bool> call in calls)
            {
                Assert.That(await EndAsync(call), Is.Not.True);
            }
        }
    }

    /// <summary>Goal: who asks does not learn from the time which users there are. Method: without a hash it takes at least half as long as with one; to say no at once takes a thousandth.</summary>
    [Test]
    public async Task A_password_of_nobody_takes_as_long_as_one_of_a_user()
    {
        var hashes = new PasswordHashes(cost: 10);
        byte[] hash = await hashes.HashAsync("secret", default);
        Assert.That(await hashes.VerifyAsync("secret", hash, default), Is.True);
        Assert.That(await hashes.VerifyAsync("nobody's", default, default), Is.False, "not even with the decoy's own");
        TimeSpan known = await ShortestAsync(hashes, hash), unknown = await ShortestAsync(hashes, default);
        Assert.That(unknown, Is.GreaterThan(known / 2));
    }

    private static async Task<bool?> EndAsync(Task<bool> call)
    {
        try
        {
            return await call;
        }
        catch (OperationCanceledException)
        {
            return null;
        }
    }

    private static async Task<TimeSpan> ShortestAsync(PasswordHashes hashes, ReadOnlyMemory<byte> hash)
    {
        TimeSpan shortest = TimeSpan.MaxValue;
        for (int i = 0; i < 5; i++)
        {
            long began = System.Diagnostics.Stopwatch.GetTimestamp();
            Assert.That(await hashes.VerifyAsync("wrong", hash, default), Is.False);
            TimeSpan took = System.Diagnostics.Stopwatch.GetElapsedTime(began);
            shortest = took < shortest ? took : shortest;
        }

        return shortest;
    }
}
