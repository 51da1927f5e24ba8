using System.Collections;
using System.Globalization;
using System.Text.Json;

namespace Loom.Server.Configuration;

/// <summary>A value and where it came from, in words for messages.</summary>
internal readonly record struct SettingValue(string Text, string Origin);

/// <summary>
/// Gathers the settings of <c>loom serve</c>: flag, then LOOM_*, then ETCD_*, then the JSON file, then the default.
/// Flags are read as Go's flag package reads them (etcd's unit files rely on it): <c>-name x</c>, <c>--name x</c>, <c>--name=x</c>, a switch takes its value only after
/// '=', and the last value of a repeated flag wins.
/// </summary>
internal sealed class SettingSources
{
    /// <summary>Variables that begin like ours but belong to the command line or to tests.</summary>
    private static readonly string[] OtherVariables = ["ENDPOINTS", "CACERT", "CERT", "KEY", "INSECURE_SKIP_TLS_VERIFY", "ROUNDS", "REQUIRE_INTEROP", "UNSUPPORTED_ARCH"];

    private readonly Dictionary<string, SettingValue> values = new(StringComparer.Ordinal);
    private readonly List<string> warnings = [];

    private SettingSources()
    {
    }

    /// <summary>One line each, for stderr.</summary>
    public IReadOnlyList<string> Warnings => warnings;

    public bool HelpAsked { get; private set; }

    public bool VersionAsked { get; private set; }

    public static SettingSources Read(IReadOnlyList<string> arguments, IDictionary environment, Func<string, string> readFile)
    {
        var sources = new SettingSources();
        sources.ReadFlags(arguments);
        if (sources.HelpAsked || sources.VersionAsked)
        {
            return sources;
        }

        sources.ReadVariables(environment, "LOOM_");
        sources.ReadVariables(environment, "ETCD_");
        if (sources.Find("config-file") is { Text.Length: > 0 } file)
        {
            sources.ReadFile(file.Text, readFile);
        }

        sources.CheckUse();
        return sources;
    }

    /// <summary>The value that was given, or null.</summary>
    public SettingValue? Find(string name) => values.TryGetValue(name, out SettingValue value) ? value : null;

    /// <summary>The value that was given, or the default. An empty value counts as not given, as in etcd's environment files.</summary>
    public string Text(string name) => Find(name) is { Text.Length: > 0 } given ? given.Text : SettingTable.Find(name)!.Default;

    public bool IsGiven(string name) => Find(name) is { Text.Length: > 0 };

    /// <summary>Of a switch.</summary>
    public bool IsOn(string name) => ParseBoolean(Text(name)) == true;

    /// <summary>One more line for stderr.</summary>
    public void Warn(string text) => warnings.Add(text);

    public int Integer(string name, int minimum, int maximum)
    {
        string text = Text(name);
        if (!long.TryParse(text, NumberStyles.Integer, CultureInfo.InvariantCulture, out long number))
        {
            throw Bad(name, text, "a whole number");
        }

        if (number < minimum)
        {
            throw Bad(name, text, $"at least {minimum}");
        }

        if (number <= maximum)
        {
            return (int)number;
        }

        // etcd's default for streams means "no limit". A unit file may raise the operations of a transaction further than we do: the node starts with its own limit and
        // says so. The size of a request is not cut in silence like that: an application that was promised larger values would find out by lost writes.
        switch (name)
        {
            case "max-concurrent-streams":
                return maximum;
            case "max-txn-ops":
                warnings.Add($"--{name} is {text}{Origin(name)}; the limit here is {maximum}, which is used");
                return maximum;
            default:
                throw Bad(name, text, $"at most {maximum}");
        }
    }

    /// <summary>A number of bytes, of any size.</summary>
    public long Bytes(string name, long minimum)
    {
        string text = Text(name);
        return !long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long number) ? throw Bad(name, text, "a number of bytes")
            : number < minimum ? throw Bad(name, text, string.Create(CultureInfo.InvariantCulture, $"at least {minimum}"))
            : number;
    }

    public TimeSpan Duration(string name, bool plainIsMilliseconds)
    {
        string text = Text(name);
        return GoDuration.Parse(text, plainIsMilliseconds) ?? throw Bad(name, text, plainIsMilliseconds ? "milliseconds, or a duration such as 100ms" : "a duration such as 20s");
    }

    public ConfigurationException Bad(string name, string text, string expected) =>
        new($"--{name} is '{text}'{Origin(name)}; it must be {expected}", $"set --{name} to {expected}");

    /// <summary>" (from ETCD_NAME)" when the value did not come from a flag: the reader should look in the right place.</summary>
    public string Origin(string name) => Find(name) is { } value && !value.Origin.StartsWith('-') ? $" (from {value.Origin})" : "";

    private void ReadFlags(IReadOnlyList<string> arguments)
    {
        for (int i = 0; i < arguments.Count; i++)
        {
            string argument = arguments[i];
            if (argument is "-h" or "--help" or "-help" or "-?")
            {
                HelpAsked = true;
                return;
            }

            if (argument is "--version" or "-version")
            {
                VersionAsked = true;
                return;
            }

            if (!argument.StartsWith('-') || argument is "-" or "--")
            {
                throw new ConfigurationException($"'{argument}' is not a flag, and loom serve takes no arguments", "write flags as --name value; see loom serve --help");
            }

            string body = argument.StartsWith("--", StringComparison.Ordinal) ? argument[2..] : argument[1..];
            int equals = body.IndexOf('=', StringComparison.Ordinal);
            string name = equals < 0 ? body : body[..equals];
            Setting setting = SettingTable.Find(name) ?? throw Unknown("--" + name, name);
            string value;
            if (equals >= 0)
            {
                value = body[(equals + 1)..];
            }
            else if (setting.Kind == SettingKind.Boolean)
            {
                value = "true";
            }
            else if (i + 1 < arguments.Count)
            {
                value = arguments[++i];
            }
            else
            {
                throw new ConfigurationException($"--{name} needs a value", $"write --{name}=VALUE");
            }

            // The last value wins, as in etcd.
            values[name] = new SettingValue(value, "--" + name);
        }
    }

    private void ReadVariables(IDictionary environment, string prefix)
    {
        // Sorted, so that warnings come in one order.
        foreach (string variable in environment.Keys.Cast<string>().Where(k => k.StartsWith(prefix, StringComparison.Ordinal)).Order(StringComparer.Ordinal))
        {
            string suffix = variable[prefix.Length..];
            if (SettingTable.FindVariable(suffix) is not { } setting)
            {
                if (!OtherVariables.Contains(suffix))
                {
                    string? near = Spelling.Nearest(suffix, SettingTable.All.Where(s => s.Use == SettingUse.Works).Select(s => s.Variable));
                    warnings.Add($"{variable} is not a setting of loom serve and is ignored" + (near is null ? "" : $" (did you mean {prefix}{near}?)"));
                }

                continue;
            }

            values.TryAdd(setting.Name, new SettingValue((string?)environment[variable] ?? "", variable));
        }
    }

    private void ReadFile(string path, Func<string, string> readFile)
    {
        JsonElement root;
        try
        {
            using JsonDocument document = JsonDocument.Parse(
                readFile(path), new JsonDocumentOptions { CommentHandling = JsonCommentHandling.Skip, AllowTrailingCommas = true });
            root = document.RootElement.Clone();
        }
        catch (JsonException exception)
        {
            throw new ConfigurationException(
                $"{path} is not JSON: line {exception.LineNumber + 1}: {exception.Message}",
                "write it as one JSON object keyed by flag names, e.g. {\"name\": \"east1\"}; etcd's YAML files must be converted");
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new ConfigurationException($"the configuration file {path} cannot be read: {exception.Message}", "correct --config-file, or let this user read it");
        }

        if (root.ValueKind != JsonValueKind.Object)
        {
            throw new ConfigurationException($"{path} does not hold a JSON object", "write it as one JSON object keyed by flag names");
        }

        foreach (JsonProperty property in root.EnumerateObject())
        {
            Setting setting = SettingTable.Find(property.Name) ?? throw Unknown($"'{property.Name}' in {path}", property.Name);
            values.TryAdd(setting.Name, new SettingValue(FileValue(path, property), path));
        }
    }

    private static string FileValue(string path, JsonProperty property) => property.Value.ValueKind switch
    {
        JsonValueKind.String => property.Value.GetString()!,
        JsonValueKind.Number => property.Value.GetRawText(),
        JsonValueKind.True => "true",
        JsonValueKind.False => "false",
        JsonValueKind.Null => "",
        JsonValueKind.Array when property.Value.EnumerateArray().All(e => e.ValueKind == JsonValueKind.String) =>
            string.Join(',', property.Value.EnumerateArray().Select(e => e.GetString())),
        _ => throw new ConfigurationException($"'{property.Name}' in {path} is neither a string, a number, true, false nor a list of strings", "write it as the flag's text"),
    };

    private void CheckUse()
    {
        foreach (Setting setting in SettingTable.All)
        {
            if (Find(setting.Name) is not { } value)
            {
                continue;
            }

            if (setting.Kind == SettingKind.Boolean && value.Text.Length > 0 && ParseBoolean(value.Text) is null)
            {
                throw Bad(setting.Name, value.Text, "true or false");
            }

            if (setting.Use == SettingUse.Ignored)
            {
                warnings.Add($"{value.Origin} has no meaning in Loom and is ignored");
            }
            else if (setting.Use == SettingUse.Refused && value.Text.Length > 0 && ParseBoolean(value.Text) != false)
            {
                throw new ConfigurationException($"{value.Origin} is not supported", setting.Help);
            }
        }
    }

    private static ConfigurationException Unknown(string what, string name)
    {
        string? near = Spelling.Nearest(name, SettingTable.All.Where(s => s.Use != SettingUse.Hidden).Select(s => s.Name));
        return new ConfigurationException($"unknown setting {what}", near is null ? "loom serve --help lists the settings" : $"did you mean --{near}?");
    }

    /// <summary>Go's strconv.ParseBool.</summary>
    internal static bool? ParseBoolean(string text) => text switch
    {
        "1" or "t" or "T" or "true" or "TRUE" or "True" => true,
        "0" or "f" or "F" or "false" or "FALSE" or "False" => false,
        _ => null,
    };
}
