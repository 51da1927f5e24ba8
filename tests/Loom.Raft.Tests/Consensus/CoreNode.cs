using Loom.Raft.Consensus;
using Loom.Raft.Membership;

namespace Loom.Raft.Tests.Consensus;

/// <summary>A core with its log and the messages that wait for a flush: the duties of a driver, without threads.</summary>
internal sealed class CoreNode
{
    private readonly Func<CoreNode, RaftCoreOptions> options;
    private readonly List<(long Sequence, Message Message)> waiting = [];

    public CoreNode(MemberId id, Configuration initial, Func<CoreNode, RaftCoreOptions> options, long now)
    {
        Id = id;
        this.options = options;
        Log = new MemoryLog(initial);
        Core = Open(now);
    }

    public MemberId Id { get; }

    public MemoryLog Log { get; }

    public RaftCore Core { get; private set; }

    public int Life { get; private set; }

    public long Deadline { get; private set; }

    /// <summary>The least index of a snapshot that helps, or 0.</summary>
    public long SnapshotNeeded { get; private set; }

    public int Waiting => waiting.Count;

    /// <summary>Steps; messages that may leave go to <paramref name="send"/>, the others wait for the flush.</summary>
    public Output Step(long now, RaftEvent e, Action<Message> send)
    {
        Output output = Core.Step(now, e);
        Deadline = output.NextDeadline;
        SnapshotNeeded = output.SnapshotNeeded;
        foreach (Message m in output.AfterFlush)
        {
            waiting.Add((Log.Written, m));
        }

        foreach (Message m in output.Now)
        {
            send(m);
        }

        return output;
    }

    /// <summary>Completes the flush of the writes up to a sequence: releases what waited for it, then tells the core.</summary>
    public Output Flush(long now, long sequence, Action<Message> send)
    {
        Log.CompleteFlush(sequence);
        foreach ((long _, Message m) in waiting.Where(w => w.Sequence <= Log.Flushed))
        {
            if (m.Term >= Core.Term)
            {
                send(m);
            }
        }

        waiting.RemoveAll(w => w.Sequence <= Log.Flushed);
        return Step(now, LogFlushed.Instance, send);
    }

    /// <summary>kill -9 and power loss: memory and unflushed writes are gone.</summary>
    public void Restart(long now)
    {
        waiting.Clear();
        Log.Crash();
        Life++;
        Core = Open(now);
        Deadline = now;
    }

    /// <summary>A snapshot of a state that stands at an index at or above the log's base.</summary>
    public InstallSnapshot Capture(long index) =>
        new(index, Log.TermAt(index), Core.Configurations.Last(c => c.Index <= index), Log.ClusterTimeAt(index), Core.Term);

    private RaftCore Open(long now) => new(options(this), Log, Log.HardState, Log.CommitHint, Log.Configurations, Log.LastClusterTime, now);
}
