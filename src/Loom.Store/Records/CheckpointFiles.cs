using System.Globalization;
using Loom.Raft.Log;
using Microsoft.Win32.SafeHandles;

namespace Loom.Store.Records;

/// <summary>
/// The checkpoint files of a records directory: <c>checkpoint-INDEX</c> with 20 digits, so that names sort by index. Written whole beside, flushed, renamed, and the directory flushed:
/// a crash leaves the old files or the new one. When a second one is taken at the same index, because it gives space back, the first becomes <c>checkpoint-INDEX.before</c>.
/// A state that was installed and is not in force yet is <c>installed-INDEX</c>, the same file under another name.
/// </summary>
/// <param name="directory">The records directory.</param>
internal sealed class CheckpointFiles(string directory)
{
    private const string Prefix = "checkpoint-";
    private const string CondemnedName = "condemned";
    private const string InstalledPrefix = "installed-";
    private const string Before = ".before";
    private const string Temporary = ".tmp";

    /// <summary>For tests: called before each step on the disk, with its name; what it throws stops the world there.</summary>
    internal Action<string>? BeforeStep { get; set; }

    public string Directory => directory;

    /// <summary>The checkpoints, newest first.</summary>
    public List<CheckpointName> List()
    {
        List<CheckpointName> names = [.. List(Prefix, "").Select(index => new CheckpointName(index)), .. List(Prefix, Before).Select(index => new CheckpointName(index, true))];
        names.Sort();
        return names;
    }

    /// <summary>Indexes of the installed states that are not in force, newest first.</summary>
    public List<long> ListInstalled() => List(InstalledPrefix, "");

    public string PathOf(CheckpointName name) => PathOf(Prefix, name.Index) + (name.IsBefore ? Before : "");

    public string PathOfInstalled(long index) => PathOf(InstalledPrefix, index);

    /// <exception cref="CheckpointDamagedException">The file is damaged, or it is another one's.</exception>
    public CheckpointFile Read(CheckpointName name) => Read(name.Index, PathOf(name));

    /// <inheritdoc cref="Read(CheckpointName)"/>
    public CheckpointFile ReadInstalled(long index) => Read(index, PathOfInstalled(index));

    private CheckpointFile Read(long index, string path)
    {
        Step("read");
        byte[] bytes;
        using (SafeFileHandle file = File.OpenHandle(path))
        {
            long length = RandomAccess.GetLength(file);
            bytes = length <= CheckpointFile.MaxBytes ? new byte[length] : throw new CheckpointDamagedException(path, 0, $"it has {length} bytes");
            for (int got = 0; got < bytes.Length;)
            {
                int read = RandomAccess.Read(file, bytes.AsSpan(got), got);
                got += read > 0 ? read : throw new CheckpointDamagedException(path, got, "it ends early");
            }
        }

        CheckpointFile found = CheckpointFile.Decode(path, bytes);
        return found.Index == index ? found : throw new CheckpointDamagedException(path, 40, $"it holds the checkpoint at entry {found.Index}: a file was put in the place of another");
    }

    /// <summary>Durable on return. One at the same index that was there is the one before it from here on: its new name is returned.</summary>
    /// <exception cref="NoSpaceException">The disk is full; everything is as before.</exception>
    public CheckpointName? Write(CheckpointFile checkpoint)
    {
        CheckpointName name = new(checkpoint.Index, false), before = new(checkpoint.Index, true);
        bool isSecond = File.Exists(PathOf(name));
        Write(checkpoint, PathOf(name), isSecond ? PathOf(before) : null);
        return isSecond ? before : null;
    }

    /// <summary>Of a state that is not in force yet. Durable on return.</summary>
    public void WriteInstalled(CheckpointFile checkpoint) => Write(checkpoint, PathOfInstalled(checkpoint.Index), null);

    /// <summary>Puts an installed state in force. Durable on return.</summary>
    public void Adopt(long index)
    {
        Step("rename");
        File.Move(PathOfInstalled(index), PathOf(new CheckpointName(index)), overwrite: true);
        Flush();
    }

    /// <summary>The file that says that no checkpoint beside it may be used (S5). Its presence alone counts.</summary>
    public bool IsCondemned => File.Exists(Path.Combine(directory, CondemnedName));

    /// <summary>Durable on return.</summary>
    public void Condemn()
    {
        Step("condemn");
        File.Create(Path.Combine(directory, CondemnedName)).Dispose();
        Flush();
    }

    /// <summary>After every checkpoint that was condemned is gone for good.</summary>
    public void Acquit()
    {
        if (IsCondemned)
        {
            Step("acquit");
            File.Delete(Path.Combine(directory, CondemnedName));
            Flush();
        }
    }

    private void Write(CheckpointFile checkpoint, string path, string? before)
    {
        byte[] bytes = checkpoint.Encode();
        string beside = path + Temporary;
        try
        {
            Step("write");
            using SafeFileHandle file = File.OpenHandle(beside, FileMode.Create, FileAccess.Write);
            RandomAccess.Write(file, bytes, 0);
            Step("flush");
            Posix.FlushData(beside, file);
        }
        catch (IOException e) when (Posix.IsOutOfSpace(e.HResult))
        {
            // Nothing names it yet. What it took is given back: others need it more.
            File.Delete(beside);
            throw new NoSpaceException($"Cannot write {beside} ({bytes.Length} bytes): {e.Message}", e);
        }

        if (before is not null)
        {
            Step("step back");
            File.Move(path, before, overwrite: true);
        }

        Step("rename");
        File.Move(beside, path, overwrite: true);
        Flush();
    }

    /// <summary>Makes what was created, renamed or deleted in the directory durable.</summary>
    public void Flush()
    {
        Step("flush directory");
        Posix.FlushDirectory(directory);
    }

    /// <summary>Not durable before <see cref="Flush"/>.</summary>
    public void Delete(CheckpointName name)
    {
        Step("delete");
        File.Delete(PathOf(name));
    }

    /// <summary>Not durable before <see cref="Flush"/>.</summary>
    public void DeleteInstalled(long index)
    {
        Step("delete");
        File.Delete(PathOfInstalled(index));
    }

    /// <summary>What a crash left half written.</summary>
    public void DeleteTemporaries()
    {
        foreach (string path in System.IO.Directory.EnumerateFiles(directory, "*-*" + Temporary))
        {
            File.Delete(path);
        }
    }

    private List<long> List(string prefix, string suffix)
    {
        List<long> found = [];
        foreach (string path in System.IO.Directory.EnumerateFiles(directory, prefix + "*" + suffix))
        {
            if (long.TryParse(Path.GetFileName(path.AsSpan())[prefix.Length..^suffix.Length], NumberStyles.None, CultureInfo.InvariantCulture, out long index))
            {
                found.Add(index);
            }
        }

        found.Sort((a, b) => b.CompareTo(a));
        return found;
    }

    private string PathOf(string prefix, long index) => Path.Combine(directory, string.Create(CultureInfo.InvariantCulture, $"{prefix}{index:d20}"));

    private void Step(string name) => BeforeStep?.Invoke(name);
}

/// <summary>Which checkpoint: at which entry of the log, and whether a second one at the same entry has followed it. Newest first in order.</summary>
internal readonly record struct CheckpointName(long Index, bool IsBefore = false) : IComparable<CheckpointName>
{
    public int CompareTo(CheckpointName other) => Index != other.Index ? other.Index.CompareTo(Index) : IsBefore.CompareTo(other.IsBefore);
}
