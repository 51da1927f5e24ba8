using System.Diagnostics;
using System.Globalization;
using Loom.Testing;

namespace Loom.Scenarios.Processes;

/// <summary>
/// A file system of its own, small enough to be filled: ext4 in a file, as on a real disk. Needs root and mount; without, the test is skipped with the reason, and with LOOM_REQUIRE_INTEROP=1 (CI) it fails.
/// </summary>
internal sealed class SmallDisk : IDisposable
{
    private readonly string image;
    private readonly string ballast;
    private readonly string directory;

    private SmallDisk(string directory)
    {
        this.directory = directory;
        image = directory + ".img";
        ballast = Path.Combine(directory, "ballast");
    }

    /// <summary>Mounted at the directory. No space is kept back for root, who runs this.</summary>
    public static SmallDisk Mount(string directory, int mebibytes)
    {
        var disk = new SmallDisk(directory);
        Directory.CreateDirectory(directory);
        using (FileStream file = File.Create(disk.image))
        {
            file.SetLength((long)mebibytes << 20);
        }

        if (Run("mkfs.ext4", "-q", "-F", "-m", "0", disk.image) is { } unformatted)
        {
            TestRun.Lack(unformatted);
        }

        if (Run("mount", "-o", "loop,noatime", disk.image, directory) is { } unmounted)
        {
            TestRun.Lack(unmounted);
        }

        return disk;
    }

    /// <summary>Until nothing more goes in, not a byte.</summary>
    public void Fill()
    {
        byte[] large = new byte[1 << 20];
        using FileStream file = new(ballast, FileMode.Append, FileAccess.Write, FileShare.Read, 1);
        foreach (int size in (int[])[1 << 20, 4096, 1])
        {
            try
            {
                while (true)
                {
                    file.Write(large, 0, size);
                }
            }
            catch (IOException)
            {
                // Full.
            }
        }
    }

    public void Free() => File.Delete(ballast);

    public void Dispose()
    {
        Run("umount", "-l", directory);
        File.Delete(image);
    }

    /// <summary>Null: it went well.</summary>
    private static string? Run(string program, params string[] arguments)
    {
        try
        {
            using Process process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardError = true, RedirectStandardOutput = true })!;
            string error = process.StandardError.ReadToEnd();
            process.WaitForExit();
            return process.ExitCode == 0 ? null : string.Create(CultureInfo.InvariantCulture, $"{program} {string.Join(' ', arguments)} ended with {process.ExitCode}: {error.Trim()}");
        }
        catch (System.ComponentModel.Win32Exception exception)
        {
            return $"{program} cannot be run: {exception.Message}";
        }
    }
}
