using Loom.Raft.Log;

namespace Loom.Raft.Membership;

/// <summary>Replaces a whole small file atomically; durable on return. A crash leaves the old one or the new one.</summary>
internal static class SmallFile
{
    public static void Replace(IFileSystem files, string directory, string name, byte[] bytes)
    {
        string path = $"{directory}/{name}", temporary = path + ".tmp";
        using (IFile file = files.Open(temporary, create: true))
        {
            file.Write(0, bytes);
            file.SetLength(bytes.Length);
            file.Flush();
        }

        files.Rename(temporary, path);
        files.FlushDirectory(directory);
    }
}
