using Google.Protobuf;
using Loom.Server.Etcd.Translation;
using Loom.Store;
using Loom.Store.Collections;
using Loom.Store.Model;

namespace Loom.Server.Etcd;

/// <summary>
/// What v3lock and v3election have in common: a place in the line of the library's locks, under the client's lease or under one of sixty seconds that is granted for the call. As in etcd nobody here renews it.
/// A call that ends before its turn came takes its key back, however it ends, unless another call shares it (<see cref="SharedClaims"/>).
/// </summary>
internal static class ClaimCalls
{
    /// <summary>etcd's time of a session whose client brought no lease.</summary>
    private static readonly TimeSpan OwnTime = TimeSpan.FromSeconds(60);

    public static async Task<long> LeaseAsync(ILoomStore store, long lease) =>
        lease != 0 ? lease : (await store.Leases.GrantAsync(OwnTime, 0, CancellationToken.None).ConfigureAwait(false)).Id;

    /// <summary>Waits for the first place. A campaigner's <paramref name="value"/> replaces what its lease's claim said before; null: a lock, which says nothing.</summary>
    /// <returns>The claim, and the revision at which it came first.</returns>
    public static async Task<(Claim Claim, Revision First)> WinAsync(
        ILoomStore store, SharedClaims shared, ReadOnlyMemory<byte> name, long lease, ReadOnlyMemory<byte>? value, CancellationToken ending)
    {
        ClaimLine line = new(store, name);
        long id = await LeaseAsync(store, lease).ConfigureAwait(false);
        ByteString key = UnsafeByteOperations.UnsafeWrap(line.KeyOf(id));
        Claim? claim = null;
        bool won = false;
        shared.Join(key);
        try
        {
            // No token: the write's outcome must be known, or nobody could take it back. The store bounds it.
            claim = await line.EnterAsync(id, value ?? default, CancellationToken.None).ConfigureAwait(false);
            if (claim.Entered)
            {
                shared.Entered(key);
            }

            if (!claim.Entered && value is { } said && !claim.Value.Span.SequenceEqual(said.Span) && !(await line.ProclaimAsync(claim, said, CancellationToken.None).ConfigureAwait(false)).Holds)
            {
                throw ClaimError.NotLeader();
            }

            Revision first = await line.WaitAsync(claim, ending).ConfigureAwait(false);
            won = true;
            return (claim, first);
        }
        finally
        {
            if (shared.Leave(key, won) || (!won && lease == 0))
            {
                await GiveUpAsync(store, line, claim, ownLease: lease == 0 ? id : 0).ConfigureAwait(false);
            }
        }
    }

    private static async Task GiveUpAsync(ILoomStore store, ClaimLine line, Claim? claim, long ownLease)
    {
        try
        {
            if (ownLease != 0)
            {
                await store.Leases.RevokeAsync(ownLease, CancellationToken.None).ConfigureAwait(false);
            }
            else if (claim is not null)
            {
                await line.LeaveAsync(claim, CancellationToken.None).ConfigureAwait(false);
            }
        }
        catch (LoomException)
        {
            // It has ended already, or it goes with its lease. The caller gets what ended the call.
        }
    }
}
