using System.Globalization;

namespace Loom.Store.Watch;

/// <summary>Why a watch ends: code, cause, fix, in that order.</summary>
internal static class WatchEnds
{
    public static WatchCompactedException Compacted(long from, long compacted) => new(
        string.Create(CultureInfo.InvariantCulture, $"LOOM1012: the watch needs revision {from}, and the history below {compacted} is compacted. Read the keys again, and watch from the revision after that of the answer."), compacted);

    public static LoomException NewEpoch(long epoch, long compacted) => new WatchCompactedException(
        LoomErrorCode.NewEpoch, string.Create(CultureInfo.InvariantCulture, $"LOOM1040: the state was taken up again from a backup (epoch {epoch}): revisions of before are not of this history. Read the keys again, and watch from the revision after that of the answer."), compacted);

    public static LoomException Lost() => new(
        LoomErrorCode.WatchLost,
        "LOOM1041: the state of this member was found to differ from that of the majority, and what this watch delivered may have been wrong. Read the keys again, on another member, and watch from the revision after that of the answer.");

    public static LoomException Failed(string why) => new(
        LoomErrorCode.Failed, $"LOOM1011: this member failed and delivers nothing more: {why.TrimEnd('.')}. Go on at another member, from the revision after the last that was delivered.");

    public static LoomException TooMany(int limit) => new(
        LoomErrorCode.Overloaded, string.Create(CultureInfo.InvariantCulture, $"LOOM1008: {limit} watches are open on this member already. Close some, or watch on another member."));
}
