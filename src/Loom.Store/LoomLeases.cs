using System.Security.Cryptography;
using Loom.Raft;
using Loom.Store.Applying;
using Loom.Store.Auth;
using Loom.Store.Callers;
using Loom.Store.Commands;
using Loom.Store.Leases;
using Loom.Store.Model;

namespace Loom.Store;

/// <summary>
/// Leases, as etcd's: a key that is put with a lease is deleted when the lease ends, by revocation or because nobody renewed it in time. Safe from any thread. Cancelling a call stops the waiting, not the write.
/// </summary>
/// <remarks>
/// Time: a lease's time is <em>cluster time</em>, which the leader stamps into the log and no clock of a member can move. It runs at most at real speed, and only while a leader with a quorum runs it. So a lease
/// never ends before its time to live has passed since the leader took its last renewal into the log, so never earlier than since that call, whoever leads, restarts, pauses or sets a clock; and it lives longer by the time that nobody led, and by up to a second (at
/// most a tenth of its time) for each change of leader. It ends within about half a second of being due.
/// Durability: a grant, renewal or revocation that returned is flushed on a majority of voters and applied here. Errors: <see cref="LoomException"/>; its <see cref="LoomException.Outcome"/> says what is known.
/// </remarks>
public sealed class LoomLeases
{
    private readonly LoomStateMachine machine;
    private readonly CallerAccess access;
    private readonly Func<long> clusterTime;
    private readonly LeaseRenewals renewals;
    private readonly long leastSeconds;

    /// <param name="machine">The state.</param>
    /// <param name="electionTimeout">A lease lives at least one and a half of it, as etcd's.</param>
    /// <param name="access">On whose behalf.</param>
    /// <param name="renewals">Renewals of everybody, on their way to the log.</param>
    /// <param name="clusterTime">As well as this member can tell it.</param>
    internal LoomLeases(
        LoomStateMachine machine,
        TimeSpan electionTimeout,
        CallerAccess access,
        LeaseRenewals renewals,
        Func<long> clusterTime)
    {
        this.machine = machine;
        this.access = access;
        this.renewals = renewals;
        this.clusterTime = clusterTime;
        leastSeconds = (long)Math.Ceiling(1.5 * electionTimeout.TotalSeconds);
    }

    /// <summary>Grants a lease.</summary>
    /// <param name="timeToLive">
    /// Rounded up to whole seconds, and raised to one and a half election timeouts (2 s by default): a shorter one could not be renewed in time through a change of leader. At most 9,000,000,000 s.
    /// </param>
    /// <param name="id">Its id; 0, the default: one is chosen, positive and at random.</param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    /// <exception cref="LoomException">LeaseExists: the id is taken. LeaseTooLong. TooManyLeases: 500,000. NoSpace, as for a put.</exception>
    public async ValueTask<LeaseGrant> GrantAsync(TimeSpan timeToLive, long id = 0, CancellationToken cancellationToken = default)
    {
        long seconds = Math.Max(leastSeconds, (long)Math.Ceiling(timeToLive.TotalSeconds));
        while (true)
        {
            long chosen = id != 0 ? id : DrawId();
            try
            {
                ProposalResult answer = await access.ProposeAsync(new LeaseGrantCommand(chosen, seconds), cancellationToken).ConfigureAwait(false);
                return new LeaseGrant(new Revision(answer.Outcome.Revision), chosen, TimeSpan.FromSeconds(seconds));
            }
            catch (LoomException exception) when (exception.Code == LoomErrorCode.LeaseExists && id == 0)
            {
                // One of 2^63 was taken: the next will not be.
            }
        }
    }

    /// <summary>Ends a lease now and deletes its keys, all at one revision, in key order. Returns the revision then; without keys none is added.</summary>
    /// <exception cref="LoomException">LeaseNotFound.</exception>
    public async ValueTask<Revision> RevokeAsync(long id, CancellationToken cancellationToken = default) =>
        new((await access.ProposeAsync(new LeaseRevokeCommand(id), cancellationToken).ConfigureAwait(false)).Outcome.Revision);

    /// <summary>
    /// Renews a lease: it has its whole time to live again from the moment at which the log took the renewal in. One that is due and has not ended yet is renewed as well. What many callers of this member ask for
    /// at a time goes into the log together. A lease that is not there is an answer, not an error: <see cref="LeaseRenewal.Lives"/> is false then, and its keys are gone.
    /// </summary>
    public ValueTask<LeaseRenewal> KeepAliveAsync(long id, CancellationToken cancellationToken = default) => access.Trusts
        ? new(renewals.RenewAsync(null, id, cancellationToken))
        : access.CallAsync(caller => new ValueTask<LeaseRenewal>(renewals.RenewAsync(caller, id, cancellationToken)), cancellationToken);

    /// <summary>A lease as it is, linearizable: what was granted, renewed, revoked or put before the call is in it.</summary>
    public async ValueTask<LeaseState> TimeToLiveAsync(long id, bool keys = false, CancellationToken cancellationToken = default)
    {
        await access.WaitAsync(ReadConsistency.Linearizable, cancellationToken).ConfigureAwait(false);
        _ = machine.Serving;
        long now = clusterTime();
        return machine.ReadLeases((leases, revision) =>
        {
            access.Require(machine.Serving.Auth.State, (auth, user) => !keys || user.IsRoot || leases.MayReadKeys(id, user.RangesIn(auth)) ? 0 : LoomErrorCode.PermissionDenied);
            return leases.TryFind(id, out LeaseTerm term)
                ? new LeaseState(
                    new Revision(revision), id, true, TimeSpan.FromSeconds(term.RemainingSeconds(now)), TimeSpan.FromSeconds(term.GrantedSeconds), keys ? [.. leases.KeysOf(id)] : [])
                : new LeaseState(new Revision(revision), id, false, default, default, []);
        });
    }

    /// <summary>All leases, linearizable, the one due next first.</summary>
    public async ValueTask<LeaseList> ListAsync(CancellationToken cancellationToken = default)
    {
        await access.WaitAsync(ReadConsistency.Linearizable, cancellationToken).ConfigureAwait(false);
        _ = machine.Serving;

        // Nobody takes the applier's lock for a list without having shown who he is, and no longer than for one lease to be judged by it.
        access.RequireUser();
        (LeaseTerms terms, long revision) = machine.ReadLeases(static (leases, revision) => (leases.Terms(), revision));
        access.Require(machine.Serving.Auth.State, (auth, user) => user.IsRoot || MayReadKeys(terms, user.RangesIn(auth)) ? 0 : LoomErrorCode.PermissionDenied);
        return new LeaseList(new Revision(revision), [.. terms.All.Select(term => term.Id)]);
    }

    /// <summary>An id that nobody else draws: positive and at random.</summary>
    internal static long DrawId() => Math.Max(1, BitConverter.ToInt64(RandomNumberGenerator.GetBytes(sizeof(long))) & long.MaxValue);

    /// <summary>Leases tell of the keys that are attached to them: who asks must be allowed to read all of those.</summary>
    private bool MayReadKeys(LeaseTerms terms, PermissionRanges ranges)
    {
        ILeaseKeys keys = machine;
        foreach (LeaseTerm term in terms.All)
        {
            if (!keys.MayReadKeys(term.Id, ranges))
            {
                return false;
            }
        }

        return true;
    }
}
