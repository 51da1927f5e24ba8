using System.Globalization;
using Loom.Raft.Log;
using Microsoft.Win32.SafeHandles;

namespace Loom.Store.Records;

/// <summary>
/// The checkpoint files of a records directory: <c>checkpoint-INDEX</c> with 20 digits, so that names sort by index. Written whole beside, flushed, renamed, and the directory flushed:
/// a crash leaves the old files or the new one. A state that was installed and is not in force yet is <c>installed-INDEX</c>, the same file under another name.
/// </summary>
/// <param name="directory">The records directory.</param>
internal sealed class CheckpointFiles(string directory)
{
    private const string Prefix = "checkpoint-";
    private const string CondemnedName = "condemned";
    private const string InstalledPrefix = "installed-";
    private const string Temporary = ".tmp";

    /// <summary>For tests: called before each step on the disk, with its name; what it throws stops the world there.</summary>
    internal Action<string>? BeforeStep { get; set; }

    public string Directory => directory;

    /// <summary>Indexes of the checkpoints, newest first.</summary>
    public List<long> List() => List(Prefix);

    /// <summary>Indexes of the installed states that are not in force, newest first.</summary>
    public List<long> ListInstalled() => List(InstalledPrefix);

    public string PathOf(long index) => PathOf(Prefix, index);

    public string PathOfInstalled(long index) => PathOf(InstalledPrefix, index);

    /// <exception cref="CheckpointDamagedException">The file is damaged, or it is another one's.</exception>
    public CheckpointFile Read(long index) => Read(index, PathOf(index));

    /// <inheritdoc cref="Read(long)"/>
    public CheckpointFile ReadInstalled(long index) => Read(index, PathOfInstalled(index));

    private static CheckpointFile Read(long index, string path)
    {
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

    /// <summary>Durable on return.</summary>
    public void Write(CheckpointFile checkpoint) => Write(checkpoint, PathOf(checkpoint.Index));

    /// <summary>Of a state that is not in force yet. Durable on return.</summary>
    public void WriteInstalled(CheckpointFile checkpoint) => Write(checkpoint, PathOfInstalled(checkpoint.Index));

    /// <summary>Puts an installed state in force. Durable on return.</summary>
    public void Adopt(long index)
    {
        Step("rename");
        File.Move(PathOfInstalled(index), PathOf(index), overwrite: true);
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

    private void Write(CheckpointFile checkpoint, string path)
    {
        byte[] bytes = checkpoint.Encode();
        string beside = path + Temporary;
        Step("write");
        using (SafeFileHandle file = File.OpenHandle(beside, FileMode.Create, FileAccess.Write))
        {
            RandomAccess.Write(file, bytes, 0);
            Step("flush");
            Posix.FlushData(beside, file);
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
    public void Delete(long index)
    {
        Step("delete");
        File.Delete(PathOf(index));
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

    private List<long> List(string prefix)
    {
        List<long> found = [];
        foreach (string path in System.IO.Directory.EnumerateFiles(directory, prefix + "*"))
        {
            if (long.TryParse(Path.GetFileName(path.AsSpan())[prefix.Length..], NumberStyles.None, CultureInfo.InvariantCulture, out long index))
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
