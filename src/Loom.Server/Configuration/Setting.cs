namespace Loom.Server.Configuration;

/// <summary>What the text of a setting must be.</summary>
internal enum SettingKind
{
    Text,
    Boolean,
    Integer,

    /// <summary>Milliseconds, as etcd's: a number, or a number with a unit.</summary>
    Milliseconds,

    /// <summary>A duration with a unit, as Go's: "5s", "2h".</summary>
    Duration,
}

/// <summary>What Loom does with a setting.</summary>
internal enum SettingUse
{
    /// <summary>It works.</summary>
    Works,

    /// <summary>It works and is not shown in the help: for tests and the demo.</summary>
    Hidden,

    /// <summary>etcd's, without a meaning here: accepted with a warning, so that unit files written for etcd start.</summary>
    Ignored,

    /// <summary>etcd's, and ignoring it would break what the operator asked for (encryption, recovery): refused unless it is off.</summary>
    Refused,
}

/// <summary>One setting of <c>loom serve</c>: the same name is the flag, the variable (LOOM_DATA_DIR, ETCD_DATA_DIR) and the key in the file.</summary>
/// <param name="Name">The name, as the flag without its dashes.</param>
/// <param name="Kind">What its text must be.</param>
/// <param name="Use">What Loom does with it.</param>
/// <param name="Default">Its default.</param>
/// <param name="Help">One line for the help; for a refused one the fix.</param>
internal sealed record Setting(string Name, SettingKind Kind, SettingUse Use, string Default, string Help)
{
    public string Variable { get; } = Name.Replace('-', '_').ToUpperInvariant();
}
