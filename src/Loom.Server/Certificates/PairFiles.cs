namespace Loom.Server.Certificates;

/// <summary>Writes certificates for all to read and keys for nobody else.</summary>
internal static class PairFiles
{
    private const UnixFileMode ForAll = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.GroupRead | UnixFileMode.OtherRead;

    /// <summary>Never replaces a file.</summary>
    /// <exception cref="IOException">One exists, or cannot be written.</exception>
    public static void Write(IssuedPair pair, string certificatePath, string keyPath)
    {
        Write(keyPath, pair.Key, UnixFileMode.UserRead | UnixFileMode.UserWrite);
        Write(certificatePath, pair.Certificate, ForAll);
    }

    private static void Write(string path, string text, UnixFileMode mode)
    {
        var options = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write };
        if (!OperatingSystem.IsWindows())
        {
            // The mode is there before the first byte is.
            options.UnixCreateMode = mode;
        }

        using var file = new FileStream(path, options);
        file.Write(System.Text.Encoding.ASCII.GetBytes(text));
        file.Flush(flushToDisk: true);
    }
}
