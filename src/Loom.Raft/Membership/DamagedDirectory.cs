using System.Globalization;
using Loom.Raft.Log;

namespace Loom.Raft.Membership;

/// <summary>
/// Puts a data directory that must not be used any more aside, as DIRECTORY.damaged-N, for whoever wants to look at it. Only the newest is kept: a disk that goes on damaging
/// directories would fill itself with them.
/// </summary>
internal static class DamagedDirectory
{
    /// <summary>Renames the directory, durably, then deletes the one that was put aside before it. Returns the new name.</summary>
    /// <exception cref="IOException">It cannot be renamed, as a mount point cannot.</exception>
    public static string SetAside(string directory)
    {
        string full = Path.TrimEndingDirectorySeparator(Path.GetFullPath(directory));
        string parent = Path.GetDirectoryName(full) ?? throw new IOException($"{full} has no parent directory to be moved in");
        string prefix = Path.GetFileName(full) + ".damaged-";
        (int Number, string Path)[] before = [.. Directory.GetDirectories(parent, prefix + "*")
            .Select(path => (Number(Path.GetFileName(path)[prefix.Length..]), path)).Where(d => d.Item1 > 0).OrderBy(d => d.Item1)];
        string aside = string.Create(CultureInfo.InvariantCulture, $"{full}.damaged-{(before.Length == 0 ? 1 : before[^1].Number + 1)}");
        try
        {
            Directory.Move(full, aside);
        }
        catch (UnauthorizedAccessException e)
        {
            throw new IOException($"Cannot rename {full} to {aside}: {e.Message}", e);
        }
        PosixFileSystem.Instance.FlushDirectory(parent);
        foreach ((_, string old) in before) Delete(old);
        return aside;
    }

    private static int Number(string digits) => int.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out int number) ? number : 0;

    private static void Delete(string old)
    {
        try
        {
            Directory.Delete(old, recursive: true);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // It only takes space; the next one that is put aside tries again.
        }
    }
}
