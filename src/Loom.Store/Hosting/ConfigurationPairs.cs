using System.Globalization;
using System.Text;
using Loom.Store.Model;

namespace Loom.Store.Hosting;

/// <summary>The keys under a prefix as they are, and what configuration makes of them. Not safe from two threads.</summary>
/// <param name="options">Prefix and separator.</param>
internal sealed class ConfigurationPairs(LoomConfigurationOptions options)
{
    private static readonly UTF8Encoding Strict = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    // By the store's keys, in their order, because several of them may be one key of configuration: of those the last counts, and when it is deleted the one before.
    private SortedDictionary<string, string> values = new(StringComparer.Ordinal);

    /// <summary>Takes all pairs; the first that is no text is the fault, and keeps its last value.</summary>
    public LoomException? Replace(IReadOnlyList<KeyValue> pairs)
    {
        SortedDictionary<string, string> before = values;
        values = new SortedDictionary<string, string>(StringComparer.Ordinal);
        LoomException? fault = null;
        foreach (KeyValue pair in pairs)
        {
            LoomException? wrong = Put(pair);
            fault ??= wrong;
            if (wrong is not null && TryText(pair.Key) is { } key && before.TryGetValue(key, out string? last))
            {
                values[key] = last;
            }
        }

        return fault;
    }

    /// <summary>Takes a change; one that is no text changes nothing, and is the fault.</summary>
    public LoomException? Take(WatchEvent change)
    {
        if (change.Kind == WatchEventKind.Put)
        {
            return Put(change.Pair);
        }

        if (TryText(change.Pair.Key) is { } key)
        {
            values.Remove(key);
        }

        return null;
    }

    public Dictionary<string, string?> ToData()
    {
        Dictionary<string, string?> data = new(StringComparer.OrdinalIgnoreCase);
        foreach ((string key, string value) in values)
        {
            string name = key[options.Prefix.Length..].Replace(options.Separator, ':');
            if (name.Length > 0)
            {
                data[name] = value;
            }
        }

        return data;
    }

    private LoomException? Put(KeyValue pair)
    {
        if (TryText(pair.Key) is not { } key)
        {
            return Fault($"a key under {options.Prefix} (in hexadecimal digits {Convert.ToHexStringLower(pair.Key.Span)}) is no UTF-8 text");
        }

        if (TryText(pair.Value) is not { } value)
        {
            return Fault(string.Create(CultureInfo.InvariantCulture, $"the value of {key} ({pair.Value.Length} bytes, revision {pair.ModRevision}) is no UTF-8 text"));
        }

        values[key] = value;
        return null;
    }

    private LoomException Fault(string what) => new(
        LoomErrorCode.InvalidConfiguration, $"LOOM1072: {what}, so it cannot be configuration. Put text there, delete it, or keep binary values under another prefix than {options.Prefix}.");

    private static string? TryText(ReadOnlyMemory<byte> bytes)
    {
        try
        {
            return Strict.GetString(bytes.Span);
        }
        catch (DecoderFallbackException)
        {
            return null;
        }
    }
}
