using Grpc.Core;
using Loom.Server.Etcd;
using Loom.Server.Etcd.Translation;
using Loom.Store;

namespace Loom.Server.Hosting;

/// <summary>
/// Calls that live until their client goes: watches, renewals of leases. When the node stops they end by themselves, and it waits until their last words are sent before it closes connections:
/// a client that sees its connection end in the middle of a stream cannot tell a node that stops from a broken network.
/// </summary>
internal sealed class OpenStreams(IHostApplicationLifetime lifetime, LeaderLoss leader)
{
    private static readonly TimeSpan Poll = TimeSpan.FromMilliseconds(5);

    // From the end of a stream, which is when Kestrel reports it completed, until its trailers have left through Kestrel's own writing loop, which reports nothing.
    private static readonly TimeSpan Trailers = TimeSpan.FromMilliseconds(30);

    private int count;

    /// <summary>Runs a stream until it ends, its client goes, the node stops, or there is no leader and the client asked for one; then it is told so.</summary>
    /// <exception cref="RpcException">Unavailable: the node stops, or knows no leader.</exception>
    public Task RunAsync(ServerCallContext context, Func<CancellationTokenSource, Task> stream) => RunAsync(context, async ending =>
    {
        await stream(ending).ConfigureAwait(false);
        return true;
    });

    /// <summary>As above, for a call that waits long for its one answer.</summary>
    public async Task<T> RunAsync<T>(ServerCallContext context, Func<CancellationTokenSource, Task<T>> call)
    {
        Interlocked.Increment(ref count);
        context.GetHttpContext().Response.OnCompleted(() =>
        {
            Interlocked.Decrement(ref count);
            return Task.CompletedTask;
        });
        CancellationToken leaderless = HeaderSource.AsksForLeader(context) ? leader.Token : CancellationToken.None;
        try
        {
            using var ending = CancellationTokenSource.CreateLinkedTokenSource(context.CancellationToken, lifetime.ApplicationStopping, leaderless);
            return await call(ending).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (lifetime.ApplicationStopping.IsCancellationRequested)
        {
            throw EtcdError.Refused(LoomErrorCode.Stopped);
        }
        catch (OperationCanceledException) when (leaderless.IsCancellationRequested)
        {
            throw EtcdError.Refused(LoomErrorCode.NoQuorum);
        }
    }

    /// <summary>Ends all streams and waits until they are answered, no longer than a limit: who does not read his connection holds up nobody.</summary>
    public async Task EndAsync(TimeSpan limit, CancellationToken cancellationToken)
    {
        lifetime.StopApplication();
        if (Volatile.Read(ref count) == 0)
        {
            return;
        }

        long until = Environment.TickCount64 + (long)limit.TotalMilliseconds;
        while (Volatile.Read(ref count) > 0 && Environment.TickCount64 < until && !cancellationToken.IsCancellationRequested)
        {
            await Task.Delay(Poll, CancellationToken.None).ConfigureAwait(false);
        }

        await Task.Delay(Trailers, CancellationToken.None).ConfigureAwait(false);
    }
}
