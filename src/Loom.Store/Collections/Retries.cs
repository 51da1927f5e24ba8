using Loom.Raft;

namespace Loom.Store.Collections;

/// <summary>A few tries of something that may be done twice, for about two seconds: the length of a change of leader.</summary>
internal static class Retries
{
    private const int Tries = 6;
    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(50);

    public static async ValueTask<T> RunAsync<T>(Func<ValueTask<T>> attempt, CancellationToken cancellationToken)
    {
        TimeSpan pause = FirstPause;
        for (int tries = 1; ; tries++)
        {
            try
            {
                return await attempt().ConfigureAwait(false);
            }
            catch (LoomException exception) when (tries < Tries && IsPassing(exception))
            {
                await Task.Delay(pause, cancellationToken).ConfigureAwait(false);
                pause *= 2;
            }
        }
    }

    private static bool IsPassing(LoomException exception) =>
        exception.Outcome == WriteOutcome.Unknown || exception.Code is LoomErrorCode.LeaderChanged or LoomErrorCode.Overloaded or LoomErrorCode.NoQuorum or LoomErrorCode.DeadlineExceeded;
}
