using System.Diagnostics;
using Loom.Raft.Proposals;

namespace Loom.Raft.Replica;

/// <summary>
/// Hands committed and locally durable entries to the applier in works of bounded size, a few at a time, and takes them back.
/// Invariant (L9): applied ≤ handed over ≤ min(commit, durable here).
/// </summary>
internal sealed class HandOver(ReplicaOptions options, IReplicaLog log, Proposer proposer, List<ApplyWork> works, OpenedState opened)
{
    private int worksOut;

    /// <summary>Everything up to here was handed to the applier.</summary>
    public long HandedOver { get; private set; } = opened.Index;

    /// <summary>Everything up to here is applied here.</summary>
    public long Applied { get; private set; } = opened.Index;

    /// <summary>Cluster time of the last applied entry (T5).</summary>
    public long ClusterTime { get; private set; } = opened.ClusterTime;

    /// <summary>Rolling hash up to <see cref="Applied"/> (S5).</summary>
    public UInt128 ApplyHash { get; private set; } = opened.ApplyHash;

    /// <summary>Hands out what may be applied now: nothing while the log begins after what was handed out, for a snapshot has to come first.</summary>
    public void Advance(long commit)
    {
        if (HandedOver < log.BaseIndex)
        {
            return;
        }

        var limit = Math.Min(commit, log.DurableIndex);
#if LOOM_MUTATIONS
        limit = Diagnostics.Mutations.On("L9-apply-before-durable") ? commit : limit;
        limit = Diagnostics.Mutations.On("L9-apply-before-commit") ? log.DurableIndex : limit;
#endif
        while (HandedOver < limit && worksOut < options.MaxApplyWorks)
        {
            var entries = log.Read(HandedOver + 1, Math.Min(limit, HandedOver + options.MaxApplyEntries), options.MaxApplyBytes);
            List<LocalEntry>? local = null;
            for (var i = 0; i < entries.Count; i++)
            {
                if (proposer.OnCommitted(entries[i], out var wantsResult))
                {
                    local ??= new List<LocalEntry>(entries.Count - i);
                    local.Add(new LocalEntry(i, wantsResult));
                }
            }

            HandedOver = entries[^1].Index;
            Debug.Assert(HandedOver <= limit, "handed over ≤ min(commit, durable here) (L9)");
            worksOut++;
            works.Add(new ApplyWork(entries, local is null ? [] : local));
        }
    }

    /// <summary>The applier switched to an installed state, behind every work that was out.</summary>
    public void Jump(in OpenedState installed)
    {
        Debug.Assert(worksOut == 0 && installed.Index > Applied && installed.Index >= log.BaseIndex, "a state is installed above everything that was handed over");
        HandedOver = Applied = installed.Index;
        ClusterTime = installed.ClusterTime;
        ApplyHash = installed.ApplyHash;
        log.AdvanceApplied(Applied);
    }

    /// <summary>The applier finished the oldest work that is out, or a part of it.</summary>
    public void Done(AppliedBatch batch)
    {
        worksOut -= batch.EndsWork ? 1 : 0;
        Debug.Assert(worksOut >= 0 && batch.LastIndex > Applied && batch.LastIndex <= HandedOver, "applied ≤ handed over (L9)");
        Applied = batch.LastIndex;
        ClusterTime = batch.ClusterTime;
        ApplyHash = batch.ApplyHash;
        log.AdvanceApplied(Applied);
    }
}
