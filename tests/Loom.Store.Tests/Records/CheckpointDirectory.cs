using System.Globalization;
using Loom.Raft.Consensus;
using Loom.Raft.Replica;
using Loom.Store.Applying;
using Loom.Store.Commands;
using Loom.Store.Model;
using Loom.Store.Mvcc;
using Loom.Store.Records;
using Microsoft.Extensions.Logging.Abstractions;

namespace Loom.Store.Tests.Records;

/// <summary>A machine over record files in a directory, driven without a node: one entry per command, so that entry N makes revision N + 1 if it changes anything.</summary>
internal sealed class CheckpointDirectory : IDisposable
{
    public static readonly MemberId Member = new(0x1001);
    public const ulong Cluster = 0xC1;

    // Small files and little memory: several segments, and most records cold, after few megabytes.
    public static readonly RecordStoreOptions Small = new() { IndexBytes = 1 << 20, MemoryBytes = 16 << 20, PageBytes = 4 << 20, SegmentBytes = 4 << 20 };

    private readonly CommittedEntry[] entry = new CommittedEntry[1];
    private readonly ApplyResult[] result = new ApplyResult[1];

    public CheckpointDirectory(string path, StateOrigin? origin = null, RecordStoreOptions? options = null)
    {
        Path = path;
        Directory = new RecordDirectory(path, options ?? Small, fault => Fault ??= fault, NullLogger.Instance);
        Machine = new LoomStateMachine(new KeyIndex(), Directory);
        Opened = Machine.Open(origin ?? Origin());
        Index = Opened?.At.Index ?? 0;
    }

    public string Path { get; }

    public RecordDirectory Directory { get; }

    public LoomStateMachine Machine { get; }

    public StateCheckpoint? Opened { get; }

    public Exception? Fault { get; private set; }

    /// <summary>The last applied entry.</summary>
    public long Index { get; private set; }

    public FasterRecordStore Records => (FasterRecordStore)Machine.Records;

    public static StateOrigin Origin(long logBase = 0) => new(Cluster, Member, logBase, long.MaxValue);

    public static byte[] Key(long number) => System.Text.Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"key-{number:d6}"));

    public ApplyResult Apply(ReadOnlyMemory<byte> command)
    {
        Index++;
        entry[0] = new CommittedEntry(Index, 2, Index * 1000, EntryKind.Command, command, WantsResult: false);
        Machine.ApplyBatch(entry, result);
        return result[0];
    }

    public void Put(long key, int bytes = 200) => Apply(CommandWriter.Encode(new PutCommand(new PutOperation(Key(key), Value(key, Index + 1, bytes)))));

    public void Delete(long from, long count = 1) => Apply(CommandWriter.Encode(new DeleteCommand(new DeleteOperation(new KeyRange(Key(from), Key(from + count))))));

    public void Compact(long revision) => Apply(CommandWriter.Encode(new CompactCommand(revision)));

    /// <summary>Entries of all kinds, by a seed and their index alone: a replay applies the same.</summary>
    public void ApplyMixed(long until, int seed = 1)
    {
        while (Index < until)
        {
            Random random = new((int)(Index * 7919) + seed);
            long revision = Machine.Revision;
            switch (random.Next(40))
            {
                case 0:
                    Delete(random.Next(600), random.Next(1, 30));
                    break;
                case 1:
                    Compact(revision - random.Next(20, 400));
                    break;
                case < 6:
                    Delete(random.Next(600));
                    break;
                default:
                    Put(random.Next(600), random.Next(10, 900));
                    break;
            }
        }
    }

    /// <summary>Keys that are written over and over, and a checkpoint.</summary>
    public void Overwrite(int keys, int rounds, int bytes)
    {
        for (int i = 0; i < keys * rounds; i++)
        {
            Put(i % keys, bytes);
        }

        Checkpoint();
    }

    /// <summary>What a node does beside: trims, and takes the checkpoints that the machine wants. Returns the bytes of all files.</summary>
    public long Settle(bool trims = true)
    {
        while (trims && Machine.TrimStep(1000))
        {
        }

        if (Machine.WantsCheckpoint)
        {
            Checkpoint();
        }

        return FileBytes();
    }

    /// <summary>Of all files. They go only in checkpoints.</summary>
    public long FileBytes() => System.IO.Directory.GetFiles(Path, "*", SearchOption.AllDirectories).Sum(file => new FileInfo(file).Length);

    /// <summary>A checkpoint of what is applied; returns when it is durable.</summary>
    public void Checkpoint()
    {
        if (BeginCheckpoint().Task.GetAwaiter().GetResult() is { } failure)
        {
            throw failure;
        }
    }

    public TaskCompletionSource<Exception?> BeginCheckpoint()
    {
        TaskCompletionSource<Exception?> done = new(TaskCreationOptions.RunContinuationsAsynchronously);
        if (!Machine.BeginCheckpoint(new StatePosition(Index, 2, Section(Index)), done.SetResult))
        {
            throw new InvalidOperationException("a checkpoint is under way");
        }

        return done;
    }

    public static byte[] Section(long index) => BitConverter.GetBytes(index * 31);

    /// <summary>A copy of a machine's state, collected beside this one's up to <see cref="IStateInstallation.Complete"/>.</summary>
    public IStateInstallation Collect(CheckpointDirectory source)
    {
        using IStateSnapshot snapshot = source.Machine.CaptureSnapshot(new StatePosition(source.Index, 2, Section(source.Index)));
        IStateInstallation installation = Machine.BeginInstall(snapshot.At, snapshot.Header);
        for (StateChunk? chunk = snapshot.Read(default, 1 << 20); chunk is not null; chunk = snapshot.Read(chunk.Cursor, 1 << 20))
        {
            installation.Write(chunk);
        }

        return installation;
    }

    public void Switch(IStateInstallation installation)
    {
        Machine.Switch(installation);
        Index = installation.At.Index;
        installation.Dispose();
    }

    /// <summary>Everything that can be asked of the state: the hash of the history at many revisions, and all pairs at some.</summary>
    public List<string> Answers()
    {
        LoomStateMachine machine = Machine;
        long revision = machine.Revision, compacted = machine.CompactRevision;
        List<string> answers = [$"revision {revision} compacted {compacted} live {machine.Index.LiveKeys}"];
        long first = Math.Max(compacted, 1);
        for (long at = first; at <= revision; at += Math.Max(1, (revision - first) / 12))
        {
            uint hash = HistoryHash.Compute(machine.Index, machine.Records, at, compacted, default);
            List<KeyValue> pairs = [];
            ReadView.Collect(machine.Index, machine.Records, new KeyRange(Key(0), Key(999_999)), at, 0, pairs);
            answers.Add($"{at}: hash {hash:x8}, {string.Join(' ', pairs.Select(p => $"{System.Text.Encoding.ASCII.GetString(p.Key.Span)}@{p.ModRevision}/{p.CreateRevision}v{p.Version}"))}");
        }

        return answers;
    }

    public void Dispose() => Machine.Dispose();

    /// <summary>A whole data directory that nobody writes to.</summary>
    public static void CopyAll(string from, string to)
    {
        System.IO.Directory.CreateDirectory(to);
        foreach (string path in System.IO.Directory.GetFiles(from).Where(path => System.IO.Path.GetFileName(path) != "lock"))
        {
            File.Copy(path, System.IO.Path.Combine(to, System.IO.Path.GetFileName(path)));
        }

        foreach (string directory in System.IO.Directory.GetDirectories(from))
        {
            CopyAll(directory, System.IO.Path.Combine(to, System.IO.Path.GetFileName(directory)));
        }
    }

    /// <summary>
    /// What a process that died now would leave: copied again until nothing was written meanwhile. Files copied one after the other while somebody writes are of different moments
    /// (a mark of what is flushed, beside a log from before), which no death of a process leaves behind.
    /// </summary>
    public static void CopyAtRest(string from, string to)
    {
        for (int attempt = 0; attempt < 200; attempt++, Thread.Sleep(20))
        {
            if (System.IO.Directory.Exists(to))
            {
                System.IO.Directory.Delete(to, recursive: true);
            }

            try
            {
                CopyAll(from, to);
                if (Same(from, to))
                {
                    return;
                }
            }
            catch (FileNotFoundException)
            {
                // A file was taken away meanwhile.
            }
        }

        throw new TimeoutException($"{from} was written to without a pause");
    }

    private static bool Same(string one, string other)
    {
        static string[] Names(string root) =>
            [.. System.IO.Directory.GetFiles(root, "*", SearchOption.AllDirectories).Select(path => System.IO.Path.GetRelativePath(root, path)).Where(name => name != "lock").Order(StringComparer.Ordinal)];
        string[] names = Names(one);
        return names.SequenceEqual(Names(other)) && names.All(name => File.ReadAllBytes(System.IO.Path.Combine(one, name)).AsSpan().SequenceEqual(File.ReadAllBytes(System.IO.Path.Combine(other, name))));
    }

    /// <summary>Checkpoint files first, then the record files that they name.</summary>
    public static void Copy(string from, string to)
    {
        System.IO.Directory.CreateDirectory(to);
        foreach (string path in (string[])[.. System.IO.Directory.GetFiles(from), .. System.IO.Directory.GetDirectories(from).SelectMany(System.IO.Directory.GetFiles)])
        {
            string target = System.IO.Path.Combine(to, System.IO.Path.GetRelativePath(from, path));
            System.IO.Directory.CreateDirectory(System.IO.Path.GetDirectoryName(target)!);
            try
            {
                using FileStream source = new(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
                using FileStream copy = File.Create(target);
                source.CopyTo(copy);
            }
            catch (FileNotFoundException)
            {
                // Deleted or renamed while copying.
            }
        }
    }

    private static byte[] Value(long key, long index, int bytes)
    {
        byte[] value = new byte[bytes];
        new Random((int)((key * 31) + index)).NextBytes(value);
        return value;
    }
}
