using System.Reflection;

namespace Loom.Server.Hosting;

/// <summary>Loom's own version, from the assembly.</summary>
internal static class NodeVersion
{
    public static string Text { get; } = Read();

    private static string Read()
    {
        string version = typeof(NodeVersion).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? "0.0.0";
        int commit = version.IndexOf('+', StringComparison.Ordinal);

        // The commit is shortened: the whole hash makes every line of status wrap.
        return commit >= 0 && version.Length > commit + 10 ? version[..(commit + 10)] : version;
    }
}
