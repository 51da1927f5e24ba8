using CsCheck;
using Loom.Raft.Replica;
using Loom.Store.Applying;
using Loom.Store.Commands;
using Loom.Store.Model;
using Loom.Store.Mvcc;
using Loom.Store.Reads;
using Loom.Store.Tests.Machine;
using Loom.Testing;
using NUnit.Framework;

namespace Loom.Store.Tests.Snapshots;

/// <summary>
/// Random commands, a capture at a random moment that is read in chunks of random size while commands and trimming go on, an installation into a machine that stands elsewhere,
/// and then the same further commands for both: every outcome, every read at every revision, HashKV, the content hash and what compaction leaves must be equal (S2, S3, S5).
/// </summary>
internal sealed class SnapshotModelTests
{
    private static readonly Gen<Plan> Plans = Gen.Select(
        ModelTests.Any.Array[1, 60], Gen.Int[0, 60], Gen.Int[0, 60], Gen.Int[30, 700], Gen.Int[1, 5], ModelTests.Range.Array[4],
        (commands, capture, behind, chunk, pace, ranges) => new Plan(commands, capture % (commands.Length + 1), behind % (commands.Length + 1), chunk, pace, ranges));

    [Test]
    public void A_machine_that_installs_a_state_goes_on_as_the_one_that_gave_it() =>
        Plans.Sample(plan => Run(plan), iter: 400, threads: 1);

    private static void Run(Plan plan)
    {
        var model = new NaiveStore();
        using var source = Open();
        using var target = Open();
        Apply(source, plan, 0, plan.Capture, model);

        // The target was somewhere else before: what it held must leave no trace.
        Apply(target, plan, 0, Math.Min(plan.Behind, plan.Capture), null);
        int applied = plan.Capture;
        using IStateSnapshot snapshot = source.CaptureSnapshot(new StatePosition(plan.Capture, 1, default));
        UInt128 content = source.Content.Hash;
        using (IStateInstallation installation = target.BeginInstall(snapshot.At, snapshot.Header))
        {
            for (StateChunk? chunk = snapshot.Read(default, plan.ChunkBytes); chunk is not null; chunk = snapshot.Read(chunk.Cursor, plan.ChunkBytes))
            {
                installation.Write(chunk);
                int next = Math.Min(plan.Commands.Length, applied + plan.Pace);
                Apply(source, plan, applied, next, model);
                applied = next;
                Assert.That(source.TrimStep(100), Is.False, "compaction waits for the capture");
            }

            installation.Complete();
            target.Switch(installation);
        }

        snapshot.Dispose();
        Assert.That(target.Content.Hash, Is.EqualTo(content));

        // What the source applied meanwhile, then the rest, for both.
        Apply(target, plan, plan.Capture, applied, null);
        Same(source, target, model, plan);
        ApplyResult[] here = Apply(source, plan, applied, plan.Commands.Length, model);
        ApplyResult[] there = Apply(target, plan, applied, plan.Commands.Length, null);
        Assert.That(there.Select(r => (r.Outcome, r.Hash)), Is.EqualTo(here.Select(r => (r.Outcome, r.Hash))));
        Same(source, target, model, plan);
        TrimAll(source);
        TrimAll(target);
        Same(source, target, model, plan);
        Assert.That(target.Records.SizeBytes, Is.EqualTo(source.Records.SizeBytes));
        Assert.That(source.Records.SizeBytes, Is.EqualTo(source.Content.Bytes), "everything is trimmed, so what is stored is what counts");
    }

    private static void Same(LoomStateMachine source, LoomStateMachine target, NaiveStore model, Plan plan)
    {
        Assert.That((target.Revision, target.CompactRevision, target.Content, target.Index.LiveKeys), Is.EqualTo((source.Revision, source.CompactRevision, source.Content, source.Index.LiveKeys)));
        Assert.That(new LocalReads(target).Hash(0), Is.EqualTo(new LocalReads(source).Hash(0)));
        ModelTests.SameReads(model, source, plan.Ranges);
        ModelTests.SameReads(model, target, plan.Ranges);
        ModelTests.SameLeases(model, source);
        ModelTests.SameLeases(model, target);
    }

    private static ApplyResult[] Apply(LoomStateMachine machine, Plan plan, int from, int to, NaiveStore? model)
    {
        if (from >= to)
        {
            return [];
        }

        Command[] commands = plan.Commands[from..to];
        ApplyResult[] results = ModelTests.Apply(machine, commands, from, wantsResult: true);
        for (int i = 0; i < commands.Length && model is not null; i++)
        {
            ModelTests.Same(commands[i], model, results[i]);
        }

        return results;
    }

    private static LoomStateMachine Open()
    {
        var machine = new LoomStateMachine(new KeyIndex(), () => new MemoryRecordStore(), () => new MemoryRecordStore());
        machine.Open(default);
        return machine;
    }

    private static void TrimAll(LoomStateMachine machine)
    {
        while (machine.TrimStep(3))
        {
        }
    }

    private sealed record Plan(Command[] Commands, int Capture, int Behind, int ChunkBytes, int Pace, KeyRange[] Ranges);
}
