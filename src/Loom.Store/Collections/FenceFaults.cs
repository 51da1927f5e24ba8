using System.Globalization;
using System.Text;

namespace Loom.Store.Collections;

/// <summary>Faults of claims and fences: code, cause, outcome, fix, in that order.</summary>
internal static class FenceFaults
{
    public static FenceLostException FenceLost(FencingToken token) => new(
        string.Create(CultureInfo.InvariantCulture, $"LOOM1070: the claim {token} does not stand any more: its lease ended, or its key was deleted, and somebody else may hold the name. Outcome of this write: not applied. Stop this work; acquire again."),
        token);

    public static FenceLostException OtherEpoch(FencingToken token, long epoch) => new(
        string.Create(CultureInfo.InvariantCulture, $"LOOM1070: the claim {token} is of epoch {token.Epoch}, and the state was taken up again from a backup since (epoch {epoch}). Outcome of this write: not applied. Stop this work; acquire again."),
        token);

    public static OutcomeUnknownException BranchUnknown(FencingToken token) => new(
        LoomErrorCode.DeadlineExceeded,
        string.Create(CultureInfo.InvariantCulture, $"LOOM1009: a retry met its first application, whose answer is gone, and the claim {token} has ended since: whether its failure branch ran is not known. Outcome of this write: unknown. Read the keys to learn what happened; acquire again."));

    public static LoomException ClaimLost(ReadOnlyMemory<byte> key) => new(
        LoomErrorCode.ClaimLost,
        $"LOOM1071: the claim {Encoding.UTF8.GetString(key.Span)} has gone before its turn came: its lease ended, or its key was deleted. Nothing is held. Enter again, with a lease that is renewed in time.");
}
