using Google.Protobuf;
using Grpc.Core;
using Loom.Server.Hosting;
using Loom.Store.Collections;
using Loom.Store.Model;
using Wire = Loom.Server.Etcd.Protos.Locks;

namespace Loom.Server.Etcd;

/// <summary>etcd's v3lock: locks for clients without its recipes. <c>LoomLock</c>, <c>etcdctl lock</c> and this wait in one line.</summary>
internal sealed class LockService(Callers callers, HeaderSource headers, OpenStreams streams, SharedClaims shared) : Wire.Lock.LockBase
{
    public override Task<Wire.LockResponse> Lock(Wire.LockRequest request, ServerCallContext context) => streams.RunAsync(context, async ending =>
    {
        (Claim claim, Revision first) = await ClaimCalls.WinAsync(callers.For(context), shared, request.Name.Memory, request.Lease, null, ending.Token).ConfigureAwait(false);
        return new Wire.LockResponse { Header = headers.At(first), Key = UnsafeByteOperations.UnsafeWrap(claim.Key) };
    });

    /// <summary>Deletes the key, whoever holds it, and whether or not it is there: as etcd's.</summary>
    public override async Task<Wire.UnlockResponse> Unlock(Wire.UnlockRequest request, ServerCallContext context)
    {
        DeleteResult result = await callers.For(context).DeleteAsync(KeyRange.Single(request.Key.Memory), CancellationToken.None).ConfigureAwait(false);
        return new Wire.UnlockResponse { Header = headers.At(result.Revision) };
    }
}
