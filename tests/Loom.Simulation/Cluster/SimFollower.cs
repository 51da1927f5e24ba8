using Loom.Simulation.Checkers;
using Loom.Simulation.Engine;
using Loom.Store.Applying;
using Loom.Store.Model;
using Loom.Store.Watch;

namespace Loom.Simulation.Cluster;

/// <summary>One watch of everything on one member: a quick one reads whenever it can, a slow one now and then, so that it reads the history. It draws from numbers of its own: nothing else changes by it.</summary>
internal sealed class SimFollower(LoomStateMachine machine, WatchChecker checker, int member, int number) : IWatcherOwner
{
    // All keys of the workload.
    private static readonly KeyRange Everything = KeyRange.All;

    private readonly bool isSlow = number > 0;
    private ulong drawn = ((ulong)member * 1000) + (ulong)number + 1;
    private Watcher? watcher;
    private bool isReady;

    public void Ready(Watcher ready) => isReady = true;

    public long TryHold(PublishedRevision revision) => 0;

    public void Release(long bytes)
    {
    }

    /// <summary>After a batch was applied.</summary>
    public void Turn()
    {
        if (!isSlow || Draw(3) == 0)
        {
            Read(isSlow ? 1 : 1000);
        }
    }

    /// <summary>Reads all there is.</summary>
    public void Finish()
    {
        Read(int.MaxValue);
        if (!machine.Current.IsCondemned && !machine.Current.IsAwaited)
        {
            checker.Rests(member, number, machine.Revision);
        }
    }

    private void Read(int steps)
    {
        if (machine.Current.IsCondemned || machine.Current.IsAwaited)
        {
            return;
        }

        if (watcher is null)
        {
            watcher = new Watcher(new WatchQuery(Everything) { From = new Revision(checker.Through(member, number) + 1) }, this);
            isReady = false;
            machine.Watches.Add(watcher);
        }

        for (int i = 0; i < steps && isReady && watcher is not null; i++)
        {
            WatchRead read = machine.Watches.Read(watcher);
            isReady = !read.Rests;
            if (read.End is { } end)
            {
                // Nothing is compacted here: it ends with a state that was found to be wrong, or with the process.
                watcher = end.Code is Loom.Store.LoomErrorCode.WatchLost or Loom.Store.LoomErrorCode.Stopped
                    ? null
                    : throw new SimulationFailure("watch", $"watch {number} of n{member} ended: {end.Message}");
            }
            else if (read.Batch is { } batch)
            {
                checker.Delivered(member, number, batch);
            }
        }
    }

    private int Draw(int below)
    {
        drawn = (drawn * 6364136223846793005) + 1442695040888963407;
        return (int)((drawn >> 33) % (ulong)below);
    }
}
