using System.Globalization;

namespace Loom.Server.Configuration;

/// <summary>Durations as Go writes them: "100ms", "1m30s", "2h".</summary>
internal static class GoDuration
{
    /// <summary>Null: it is none, or it is longer than <paramref name="longest"/> milliseconds (what timers take, where nothing else is said).</summary>
    public static TimeSpan? Parse(string text, bool plainIsMilliseconds, double longest = int.MaxValue)
    {
        if (plainIsMilliseconds && long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out long plain))
        {
            return plain <= longest ? TimeSpan.FromMilliseconds(plain) : null;
        }

        if (text == "0")
        {
            return TimeSpan.Zero;
        }

        double milliseconds = 0;
        int at = 0;
        while (at < text.Length)
        {
            int number = at;
            while (at < text.Length && (char.IsAsciiDigit(text[at]) || text[at] == '.'))
            {
                at++;
            }

            int unit = at;
            while (at < text.Length && char.IsAsciiLetterLower(text[at]))
            {
                at++;
            }

            if (!double.TryParse(text[number..unit], NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double value) || Unit(text[unit..at]) is not { } factor)
            {
                return null;
            }

            milliseconds += value * factor;
        }

        return text.Length > 0 && milliseconds <= longest ? TimeSpan.FromMilliseconds(milliseconds) : null;
    }

    private static double? Unit(string unit) => unit switch
    {
        "ns" => 1e-6,
        "us" => 1e-3,
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => null,
    };
}
