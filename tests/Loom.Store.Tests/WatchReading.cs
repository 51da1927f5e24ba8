namespace Loom.Store.Tests;

/// <summary>Reading a stream of watches, with an end to the patience.</summary>
internal static class WatchReading
{
    public static async Task<WatchMessage> NextAsync(this LoomWatchStream watches)
    {
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(20));
        while (await watches.WaitToReadAsync(patience.Token))
        {
            if (watches.TryRead(out WatchMessage? message))
            {
                return message!;
            }
        }

        throw new InvalidOperationException("the stream ended");
    }
}
