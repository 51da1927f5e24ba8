using System.Globalization;
using Loom.Server.Hosting.Protos;

namespace Loom.Server.Cli;

/// <summary>What <c>loom status</c> says of space: for people one line of how much there is; then, for all, one per alarm and per member that refuses puts, each with what to do.</summary>
internal static class SpaceLines
{
    /// <param name="newest">The view of the member that knows most.</param>
    /// <param name="members">Each member's own view.</param>
    /// <param name="withSizes">For people.</param>
    public static IEnumerable<string> Of(ClusterStatusResponse newest, IReadOnlyList<ClusterStatusResponse> members, bool withSizes)
    {
        if (withSizes)
        {
            yield return Sizes(newest, members);
        }

        foreach (ClusterAlarm alarm in newest.Alarms)
        {
            string whose = newest.Members.FirstOrDefault(m => m.Id == alarm.MemberId)?.Name ?? alarm.MemberId.ToString("x", CultureInfo.InvariantCulture);
            yield return $"alarm {alarm.Kind} of {whose}: {Meaning(alarm.Kind)}";
        }

        foreach (ClusterStatusResponse own in members.Where(m => m.SpaceRefusal.Length > 0).OrderBy(m => m.Name, StringComparer.Ordinal))
        {
            yield return $"{own.Name} refuses puts: {own.SpaceRefusal}";
        }
    }

    private static string Sizes(ClusterStatusResponse newest, IReadOnlyList<ClusterStatusResponse> members)
    {
        string quota = newest.QuotaBytes > 0 ? $" of {Size(newest.QuotaBytes)}" : ", no quota";
        string[] disks = [.. members.Where(m => m.DiskFreeBytes >= 0).OrderBy(m => m.Name, StringComparer.Ordinal).Select(m => $"{m.Name} {Size(m.DiskFreeBytes)}")];
        return $"state {Size(newest.SizeInUseBytes)}{quota}{(disks.Length > 0 ? "; free disk: " + string.Join(", ", disks) : "")}";
    }

    /// <summary>With one digit behind the point, in powers of 1024.</summary>
    internal static string Size(long bytes)
    {
        string[] units = ["B", "KiB", "MiB", "GiB", "TiB"];
        double size = bytes;
        int unit = 0;
        for (; size >= 1024 && unit < units.Length - 1; unit++)
        {
            size /= 1024;
        }

        return string.Create(CultureInfo.InvariantCulture, $"{size:0.#} {units[unit]}");
    }

    private static string Meaning(string kind) => kind switch
    {
        "NOSPACE" => "puts are refused; delete keys and compact, or raise --quota-backend-bytes (loom explain LOOM1023)",
        "CORRUPT" => "every write is refused (loom explain LOOM1024)",
        "LOWDISK" => "its file system is nearly full; free disk there",
        _ => "unknown to this version of loom",
    };
}
