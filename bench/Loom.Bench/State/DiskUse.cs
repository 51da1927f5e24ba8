namespace Loom.Bench.State;

/// <summary>What a directory takes on the disk.</summary>
internal static class DiskUse
{
    /// <summary>Sum of the files' lengths. Files may come and go meanwhile: those that are gone count nothing.</summary>
    public static long Bytes(string directory)
    {
        long total = 0;
        if (!Directory.Exists(directory))
        {
            return 0;
        }

        foreach (FileInfo file in new DirectoryInfo(directory).EnumerateFiles("*", new EnumerationOptions { RecurseSubdirectories = true, IgnoreInaccessible = true }))
        {
            try
            {
                total += file.Length;
            }
            catch (FileNotFoundException)
            {
                // Deleted between the listing and the look.
            }
        }

        return total;
    }
}
