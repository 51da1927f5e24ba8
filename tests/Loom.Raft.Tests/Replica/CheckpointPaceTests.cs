using Loom.Raft.Replica;
using NUnit.Framework;

namespace Loom.Raft.Tests.Replica;

internal sealed class CheckpointPaceTests
{
    private const long Second = 1_000_000_000;

    [Test]
    public void Without_anything_applied_no_checkpoint_is_ever_due() =>
        Assert.That(new CheckpointPace(0, 10).IsDue(1_000 * Second), Is.False);

    [Test]
    public void Entries_bytes_and_time_each_make_one_due()
    {
        CheckpointPace entries = new(0, 10), bytes = new(0, 10), time = new(0, 10);
        entries.Applied(9, 900);
        bytes.Applied(1, CheckpointPace.MaxBytes - 1);
        time.Applied(1, 1);
        Assert.That((entries.IsDue(Second), bytes.IsDue(Second), time.IsDue(CheckpointPace.MaxAge - 1)), Is.EqualTo((false, false, false)));
        entries.Applied(1, 1);
        bytes.Applied(1, 1);
        Assert.That((entries.IsDue(Second), bytes.IsDue(Second), time.IsDue(CheckpointPace.MaxAge)), Is.EqualTo((true, true, true)));
    }

    [Test]
    public void A_checkpoint_that_was_begun_starts_the_count_again()
    {
        CheckpointPace pace = new(0, 10);
        pace.Applied(10, 0);
        Assert.That((pace.IsBehind, pace.IsDue(0)), Is.EqualTo((true, true)));
        pace.Begun(5 * Second);
        Assert.That((pace.IsBehind, pace.IsDue(60 * Second)), Is.EqualTo((false, false)));
        pace.Applied(1, 0);
        Assert.That((pace.IsDue(14 * Second), pace.IsDue(15 * Second)), Is.EqualTo((false, true)));
    }

    [Test]
    public void A_checkpoint_that_is_only_wanted_keeps_its_distance()
    {
        CheckpointPace pace = new(0, 10);
        pace.Begun(5 * Second);
        Assert.That((pace.MayBegin((5 * Second) + CheckpointPace.MinAge - 1), pace.MayBegin((5 * Second) + CheckpointPace.MinAge)), Is.EqualTo((false, true)));
    }
}
