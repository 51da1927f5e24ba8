using System.Globalization;
using Loom.Raft.Log;
using Microsoft.Win32.SafeHandles;

namespace Loom.Store.Records;

/// <summary>
/// Record files of a life that left no checkpoint become the first, empty files of the next, with their space still taken (S6): what that life had applied is applied again from the log, on a
/// full disk too. Deleted, they would make room for whoever asks first, and that may be the log's own reserve.
/// </summary>
internal static class KeptSpace
{
    // A life that left no checkpoint has written little (one is taken after 32 MiB); of more, the rest of the disk has the use.
    private const int MostFiles = 8;

    /// <summary>Empties <c>FILE.0, FILE.1, …</c>: they read as zeros. What cannot be kept is deleted.</summary>
    public static void Empty(string file, long segmentBytes)
    {
        int kept = 0;
        foreach (int segment in RecordDevice.SegmentsOf(file))
        {
            string path = string.Create(CultureInfo.InvariantCulture, $"{file}.{segment}");
            if (kept < MostFiles && TryEmpty(path, segmentBytes))
            {
                // Ascending, and never above its own number: the name is free.
                string name = string.Create(CultureInfo.InvariantCulture, $"{file}.{kept++}");
                if (name != path)
                {
                    File.Move(path, name);
                }
            }
            else
            {
                File.Delete(path);
            }
        }
    }

    private static bool TryEmpty(string path, long segmentBytes)
    {
        try
        {
            using SafeFileHandle handle = File.OpenHandle(path, FileMode.Open, FileAccess.ReadWrite);
            long length = RandomAccess.GetLength(handle);
            return length <= segmentBytes && Posix.TryZero(path, handle, 0, length);
        }
        catch (IOException)
        {
            return false;
        }
    }
}
