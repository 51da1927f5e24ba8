using Loom.Raft.Consensus;
using Loom.Raft.Snapshots;

namespace Loom.Raft.Replica;

/// <summary>
/// Captures of the state for transfers and backups: the loop asks the applier, and says of what comes back what it alone knows (S3): the term in which all of it was committed at the latest,
/// and the configuration that was in force there.
/// </summary>
internal sealed class Captures(ReplicaOptions options, RaftCore core, IReplicaLog log, SeededRandom random, List<CaptureRequested> effects)
{
    /// <param name="request">Answered with null when it is refused.</param>
    /// <param name="refused">This replica failed, closes, or its state is wrong: whoever is filled from that is wrong, too, and may make it the majority's (S5).</param>
    public void Take(CaptureRequested request, bool refused)
    {
        if (refused)
        {
            request.Done(null);
            return;
        }

        effects.Add(request);
    }

    public void Done(StateCaptured captured, bool refused)
    {
        // Below the base the configuration of that place is not known any more.
        if (captured.State is not { } state || refused || state.At.Index < log.BaseIndex)
        {
            captured.State?.Dispose();
            captured.Done(null);
            return;
        }

        var configuration = core.Configurations.Last(c => c.Index <= state.At.Index);
        captured.Done(new CapturedSnapshot(new SnapshotManifest(random.Next() | 1, options.ClusterId, options.Id, core.Term, state.At, configuration, state.Header), state));
    }

    /// <summary>This replica failed before the applier was asked.</summary>
    public void RefuseAll()
    {
        foreach (var capture in effects)
        {
            capture.Done(null);
        }

        effects.Clear();
    }
}
