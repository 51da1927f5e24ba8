using System.Globalization;
using Loom.Store.Mvcc;
using Loom.Store.Records;

namespace Loom.Bench.Micro;

/// <summary>Resident memory of the state alone: an empty store, then with keys, then with as many updates.</summary>
internal static class StoreMemory
{
    public static int Run(int count)
    {
        string directory = Directory.CreateTempSubdirectory("loom-bench-").FullName;
        try
        {
            Report("process");
            using FasterRecordStore store = FasterRecordStore.Open(directory);
            KeyIndex index = new();
            Report("empty store");
            byte[] record = new byte[312];
            long revision = 0;
            for (int round = 0; round < 3; round++)
            {
                for (int i = 0; i < count; i++)
                {
                    revision++;
                    store.Append(new(revision, 0), record, revision);
                    index.Put(System.Text.Encoding.UTF8.GetBytes($"jobs/cluster{i % 13:D2}/{i:D9}"), new(revision, 0), revision - (round * count), round + 1);
                    if (i % 64 == 0)
                    {
                        index.Publish();
                    }
                }

                index.Publish();
                Report(string.Create(CultureInfo.InvariantCulture, $"{count:N0} keys, {round + 1} versions each; slabs {(double)index.SlabBytes / count:F1} B/key, log {store.SizeBytes >> 20} MiB"));
            }
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }

        return 0;
    }

    private static void Report(string what)
    {
        string[] status = File.ReadAllLines("/proc/self/status");
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{what}: RSS {Line(status, "VmRSS:") >> 10} MiB (peak {Line(status, "VmHWM:") >> 10}), heap {GC.GetTotalMemory(false) >> 20} MiB"));
    }

    private static long Line(string[] status, string name) =>
        long.Parse(status.First(l => l.StartsWith(name, StringComparison.Ordinal))[name.Length..].Replace("kB", "", StringComparison.Ordinal), CultureInfo.InvariantCulture);
}
