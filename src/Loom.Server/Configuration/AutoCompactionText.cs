using System.Globalization;

namespace Loom.Server.Configuration;

/// <summary>etcd's two flags of automatic compaction: a bare number is hours in the mode "periodic" and revisions in the mode "revision"; 0 is never.</summary>
internal static class AutoCompactionText
{
    public const string Mode = "auto-compaction-mode";
    public const string Retention = "auto-compaction-retention";

    // A hundred years: beyond it is a mistake.
    private const double LongestMilliseconds = 100 * 365.0 * 24 * 3_600_000;

    public static (TimeSpan Period, long Revisions) Parse(SettingSources sources)
    {
        string mode = sources.Text(Mode), text = sources.Text(Retention);
        bool isNumber = long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out long number);
        switch (mode)
        {
            case "periodic":
                TimeSpan? period = isNumber && number <= LongestMilliseconds / 3_600_000 ? TimeSpan.FromHours(number)
                    : isNumber ? null : GoDuration.Parse(text, plainIsMilliseconds: false, LongestMilliseconds);
                return period is { } given && (given == TimeSpan.Zero || given >= TimeSpan.FromSeconds(1))
                    ? (given, 0)
                    : throw sources.Bad(Retention, text, "a number of hours, or a duration of at least a second such as 30m");
            case "revision":
                // etcd takes a duration here, too, and reads its nanoseconds as revisions: nobody means that.
                return isNumber ? (TimeSpan.Zero, number) : throw sources.Bad(Retention, text, "a number of revisions (the mode is revision)");
            default:
                throw sources.Bad(Mode, mode, "periodic or revision");
        }
    }
}
