using System.Globalization;
using Loom.Raft;
using Loom.Raft.Membership;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Options;

namespace Loom.Store.Hosting;

/// <summary>Configuration → options, by hand: no reflection, and a value that cannot be read is a fault with its path, next to all the others.</summary>
internal sealed class LoomConfiguration(IConfiguration configuration) : IValidateOptions<LoomOptions>
{
    private readonly List<string> faults = [];

    public ValidateOptionsResult Validate(string? name, LoomOptions options) =>
        faults.Count == 0 ? ValidateOptionsResult.Success : ValidateOptionsResult.Fail(faults);

    public void Bind(LoomOptions options)
    {
        faults.Clear();
        options.Name = configuration[nameof(LoomOptions.Name)] ?? options.Name;
        options.Datacenter = configuration[nameof(LoomOptions.Datacenter)] ?? options.Datacenter;
        options.DataDirectory = configuration[nameof(LoomOptions.DataDirectory)] ?? options.DataDirectory;
        options.ClusterToken = configuration[nameof(LoomOptions.ClusterToken)] ?? options.ClusterToken;
        options.ListenPeerUrls = List(nameof(LoomOptions.ListenPeerUrls)) ?? options.ListenPeerUrls;
        options.AdvertiseClientUrls = List(nameof(LoomOptions.AdvertiseClientUrls)) ?? options.AdvertiseClientUrls;
        options.HeartbeatInterval = Read(nameof(LoomOptions.HeartbeatInterval), options.HeartbeatInterval, TryDuration, "a duration such as 00:00:00.100");
        options.ElectionTimeout = Read(nameof(LoomOptions.ElectionTimeout), options.ElectionTimeout, TryDuration, "a duration such as 00:00:01");
        options.RequestTimeout = Read(nameof(LoomOptions.RequestTimeout), options.RequestTimeout, TryDuration, "a duration such as 00:00:07");
        options.MaxRequestBytes = Read<int>(nameof(LoomOptions.MaxRequestBytes), options.MaxRequestBytes, TryInt, "a number of bytes");
        options.RecordMemoryBytes = Read<long>(nameof(LoomOptions.RecordMemoryBytes), options.RecordMemoryBytes, TryLong, "a number of bytes");
        options.RecordIndexBytes = Read<long>(nameof(LoomOptions.RecordIndexBytes), options.RecordIndexBytes, TryLong, "a number of bytes");
        options.SnapshotCatchUpEntries = Read<long>(nameof(LoomOptions.SnapshotCatchUpEntries), options.SnapshotCatchUpEntries, TryLong, "a number of entries");
        options.SnapshotBytesPerSecond = Read<long>(nameof(LoomOptions.SnapshotBytesPerSecond), options.SnapshotBytesPerSecond, TryLong, "a number of bytes");
        options.QuotaBytes = Read<long>(nameof(LoomOptions.QuotaBytes), options.QuotaBytes, TryLong, "a number of bytes");
        options.MinFreeDiskBytes = Read<long>(nameof(LoomOptions.MinFreeDiskBytes), options.MinFreeDiskBytes, TryLong, "a number of bytes");
        options.AutoCompactionPeriod = Read(nameof(LoomOptions.AutoCompactionPeriod), options.AutoCompactionPeriod, TryDuration, "a duration such as 01:00:00");
        options.AutoCompactionRevisions = Read<long>(nameof(LoomOptions.AutoCompactionRevisions), options.AutoCompactionRevisions, TryLong, "a number of revisions");
        options.JoinOnly = Read<bool>(nameof(LoomOptions.JoinOnly), options.JoinOnly, bool.TryParse, "true or false");
        options.PlacementGoal = Read<PlacementGoal>(nameof(LoomOptions.PlacementGoal), options.PlacementGoal, TryName, "Majority or TwoDatacenters");
        if (configuration.GetSection(nameof(LoomOptions.InitialCluster)) is { } cluster && cluster.GetChildren().Any())
        {
            options.InitialCluster = [.. cluster.GetChildren().Select(Member)];
        }
    }

    private InitialMember Member(IConfigurationSection section)
    {
        string name = section["Name"] ?? "";
        MemberRole role = MemberRole.Voter;
        if (section["Role"] is { } text && (!TryName(text, out role) || role is not (MemberRole.Voter or MemberRole.Standby)))
        {
            faults.Add($"{section.Path}:Role is '{text}': use Voter or Standby.");
        }

        IEnumerable<string> urls = section.GetSection("PeerUrls").GetChildren().Select(child => child.Value ?? "");
        return new InitialMember(name, section["Datacenter"] ?? name, role, [.. urls]);
    }

    private string[]? List(string key)
    {
        string?[] values = [.. configuration.GetSection(key).GetChildren().Select(child => child.Value)];
        return values.Length > 0 ? [.. values.OfType<string>()] : configuration[key]?.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
    }

    private delegate bool Parser<T>(string text, out T value);

    private T Read<T>(string key, T otherwise, Parser<T> parse, string what)
    {
        if (configuration[key] is not { } text)
        {
            return otherwise;
        }

        if (parse(text, out T value))
        {
            return value;
        }

        string path = configuration is IConfigurationSection section ? $"{section.Path}:{key}" : key;
        faults.Add($"{path} is '{text}': use {what}.");
        return otherwise;
    }

    private static bool TryDuration(string text, out TimeSpan value) => TimeSpan.TryParse(text, CultureInfo.InvariantCulture, out value);

    private static bool TryInt(string text, out int value) => int.TryParse(text, CultureInfo.InvariantCulture, out value);

    private static bool TryLong(string text, out long value) => long.TryParse(text, CultureInfo.InvariantCulture, out value);

    private static bool TryName<T>(string text, out T value)
        where T : struct, Enum => Enum.TryParse(text, ignoreCase: true, out value) && Enum.IsDefined(value);
}
