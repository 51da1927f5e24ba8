using System.Diagnostics;

namespace Loom.Scenarios.Processes;

/// <summary>
/// What of a checkpoint is seen from outside (docs/data-files.md): record files grow, <c>checkpoint-INDEX.tmp</c> is written beside, renamed, and the oldest of three is deleted.
/// Record files grow at no other time as long as little is written from one checkpoint to the next.
/// </summary>
internal sealed class CheckpointWatch(LoomProcess node)
{
    private readonly string records = Path.Combine(node.DataDirectory, "records");
    private Sight before = new("", 0, 0, false);

    /// <summary>Waits until one has ended that began after now, and then until the next has written its first records. False: in vain.</summary>
    public bool AwaitBegin(TimeSpan patience)
    {
        Stopwatch watch = Stopwatch.StartNew();
        string start = Look().Newest;
        for (before = Look(); !(before.IsAtRest && before.Newest != start); before = Look())
        {
            if (!Pause(watch, patience))
            {
                return false;
            }
        }

        for (Sight now = Look(); ; now = Look())
        {
            if (now.Newest == before.Newest && (now.WrittenEnd > before.WrittenEnd || !now.IsAtRest))
            {
                return true;
            }

            // Another one has come and gone between two looks.
            before = now.IsAtRest ? now : before;
            if (!Pause(watch, patience))
            {
                return false;
            }
        }
    }

    /// <summary>After <see cref="AwaitBegin"/>: how long it goes on.</summary>
    public TimeSpan Duration(TimeSpan patience)
    {
        Stopwatch watch = Stopwatch.StartNew();
        for (Sight now = Look(); !(now.IsAtRest && now.Newest != before.Newest); now = Look())
        {
            if (!Pause(watch, patience))
            {
                break;
            }
        }

        return watch.Elapsed;
    }

    /// <summary>After <see cref="AwaitBegin"/> and a kill: where in the checkpoint the process died; null: outside of any, or where nothing shows it.</summary>
    public string? StruckWhere()
    {
        Sight now = Look();
        return now.HasTemporary ? "while its file was written"
            : now.Checkpoints > 2 ? "before the oldest was deleted"
            : now.Newest == before.Newest && now.WrittenEnd > before.WrittenEnd ? "after its records, before its file"
            : null;
    }

    private static bool Pause(Stopwatch watch, TimeSpan patience)
    {
        Thread.Sleep(0);
        return watch.Elapsed < patience;
    }

    private Sight Look()
    {
        string[] files = [.. Directory.GetFiles(records, "checkpoint-*").Select(file => Path.GetFileName(file)!).Order(StringComparer.Ordinal)];
        string[] whole = [.. files.Where(file => !file.EndsWith(".tmp", StringComparison.Ordinal))];
        return new Sight(whole.LastOrDefault() ?? "", whole.Length, WrittenEnd(), whole.Length < files.Length);
    }

    /// <summary>Sum of the lengths: space that is only set aside does not count.</summary>
    private long WrittenEnd() => Directory.GetFiles(records, "hlog.log.*", SearchOption.AllDirectories).Sum(file => new FileInfo(file).Length);

    private sealed record Sight(string Newest, int Checkpoints, long WrittenEnd, bool HasTemporary)
    {
        public bool IsAtRest => Checkpoints == 2 && !HasTemporary;
    }
}
