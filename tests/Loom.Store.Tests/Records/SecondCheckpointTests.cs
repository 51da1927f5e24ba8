using NUnit.Framework;

namespace Loom.Store.Tests.Records;

/// <summary>A checkpoint at an entry that has one already.</summary>
internal sealed class SecondCheckpointTests
{
    private string root = "";

    [SetUp]
    public void SetUp() => root = Directory.CreateTempSubdirectory("loom-space-").FullName;

    [TearDown]
    public void TearDown() => Directory.Delete(root, recursive: true);

    [Test]
    public void A_crash_at_any_step_of_a_second_checkpoint_at_one_entry_leaves_a_whole_one()
    {
        string live = Path.Combine(root, "live");
        List<string> steps = [];
        using (CheckpointDirectory machine = new(live))
        {
            machine.ApplyMixed(800);
            machine.Checkpoint();
            machine.ApplyMixed(1_000);
            machine.Checkpoint();
            machine.Directory.Files.BeforeStep = step =>
            {
                CheckpointDirectory.Copy(live, Path.Combine(root, $"step{steps.Count}"));
                steps.Add(step);
            };
            machine.Checkpoint();
            machine.Checkpoint();
            machine.ApplyMixed(1_100);
            machine.Checkpoint();
            Assert.That(steps.Count(step => step == "step back"), Is.EqualTo(2));
            Assert.That(Directory.GetFiles(live).Select(Path.GetFileName).Order(), Is.EqualTo(new[] { "checkpoint-00000000000000001000", "checkpoint-00000000000000001100" }));
        }

        using CheckpointDirectory unbroken = new(Path.Combine(root, "unbroken"));
        unbroken.ApplyMixed(1_000);
        List<string> answers = unbroken.Answers();
        unbroken.ApplyMixed(1_100);
        for (int i = 0; i < steps.Count; i++)
        {
            using CheckpointDirectory opened = new(Path.Combine(root, $"step{i}"));
            Assert.That(opened.Answers(), Is.EqualTo(opened.Index == 1_000 ? answers : unbroken.Answers()), $"step {i} ({steps[i]})");
        }
    }

    [Test]
    public void A_damaged_newest_of_two_checkpoints_at_one_entry_falls_back_to_the_other()
    {
        List<string> answers;
        using (CheckpointDirectory machine = new(root))
        {
            machine.ApplyMixed(1_000);
            machine.Checkpoint();
            machine.Checkpoint();
            answers = machine.Answers();
        }

        string newest = Path.Combine(root, "checkpoint-00000000000000001000");
        Assert.That(File.Exists(newest + ".before"), Is.True);
        byte[] bytes = File.ReadAllBytes(newest);
        bytes[^1] ^= 1;
        File.WriteAllBytes(newest, bytes);
        using CheckpointDirectory again = new(root);
        Assert.That(again.Answers(), Is.EqualTo(answers));
        Assert.That(File.Exists(newest), Is.False, "what cannot be used is in nobody's way");
        again.Checkpoint();
        Assert.That((File.Exists(newest), File.Exists(newest + ".before")), Is.EqualTo((true, true)));
    }
}
