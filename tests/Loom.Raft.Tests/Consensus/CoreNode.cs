using Loom.Raft.Consensus;
using Loom.Raft.Membership;

namespace Loom.Raft.Tests.Consensus;

/// <summary>A core with its log and the messages that wait for a flush: the duties of a driver, without threads.</summary>
internal sealed class CoreNode
{
    private readonly Func<CoreNode, RaftCoreOptions> options;
    private readonly Configuration initial;
    private readonly List<(long Sequence, Message Message)> waiting = [];

    public CoreNode(MemberId id, Configuration initial, Func<CoreNode, RaftCoreOptions> options, long now)
    {
        Id = id;
        this.initial = initial;
        this.options = options;
        Core = Open(now);
    }

    public MemberId Id { get; }

    public MemoryLog Log { get; } = new();

    public RaftCore Core { get; private set; }

    public int Life { get; private set; }

    public long Deadline { get; private set; }

    public int Waiting => waiting.Count;

    /// <summary>Steps; messages that may leave go to <paramref name="send"/>, the others wait for the flush.</summary>
    public Output Step(long now, RaftEvent e, Action<Message> send)
    {
        Output output = Core.Step(now, e);
        Deadline = output.NextDeadline;
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

    private RaftCore Open(long now)
    {
        var configurations = new List<ConfigurationAt> { new(0, initial) };
        configurations.AddRange(Log.Entries.Where(e => e.Kind == EntryKind.Configuration)
            .Select(e => new ConfigurationAt(e.Index, ConfigurationCodec.Decode(e.Body.Span))));
        long stamp = Log.Entries.Count == 0 ? 0 : Log.Entries[^1].ClusterTime;
        return new RaftCore(options(this), Log, Log.HardState, Log.CommitHint, configurations, stamp, now);
    }
}
