using Loom.Raft.Host;
using NUnit.Framework;

namespace Loom.Raft.Tests.Host;

/// <summary>A pooled call that its caller misuses must not become two callers' at once.</summary>
public sealed class CallTests
{
    [Test]
    public async Task A_result_read_twice_disturbs_nobody()
    {
        var calls = new CallRegistry<int>();
        Call<int> first = calls.Rent();
        ValueTask<int> task = first.Task, again = task;
        first.Succeed(1);
        Assert.That(await task, Is.EqualTo(1));
        Call<int> second = calls.Rent();
        Assert.That(second, Is.SameAs(first), "pooled");
        ValueTask<int> other = second.Task;
        Assert.That(() => again.GetAwaiter().GetResult(), Throws.InvalidOperationException);
        Assert.That(calls.Rent(), Is.Not.SameAs(second), "it did not go back to the pool under its second caller");
        second.Succeed(2);
        Assert.That(await other, Is.EqualTo(2));
    }

    [Test]
    public async Task A_result_read_too_early_disturbs_nobody()
    {
        var calls = new CallRegistry<int>();
        Call<int> call = calls.Rent();
        ValueTask<int> task = call.Task, early = task;
        Assert.That(() => early.GetAwaiter().GetResult(), Throws.InvalidOperationException);
        Assert.That(calls.Rent(), Is.Not.SameAs(call));
        call.Succeed(3);
        Assert.That(await task, Is.EqualTo(3));
    }
}
