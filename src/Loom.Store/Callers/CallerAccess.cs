using Loom.Raft;
using Loom.Store.Applying;
using Loom.Store.Auth;
using Loom.Store.Commands;
using Loom.Store.Leases;
using Loom.Store.Machine;
using Loom.Store.Model;
using Loom.Store.Reads;

namespace Loom.Store.Callers;

/// <summary>What the store does for calls, whoever makes them.</summary>
/// <param name="Machine">The state.</param>
/// <param name="Check">Refuses what can never work, and every call once the store is closed.</param>
/// <param name="Propose">Proposes a command that was checked and permitted.</param>
/// <param name="Wait">Waits until a local read gives what a consistency promises.</param>
/// <param name="AppliedIndex">The log's index up to which this replica has applied.</param>
/// <param name="Now">Milliseconds of a clock that only goes forward.</param>
/// <param name="TokenMilliseconds">How long a token lives after it was used last.</param>
internal sealed record CallServices(
    LoomStateMachine Machine,
    Action<Command> Check,
    Func<Command, CancellationToken, ValueTask<ProposalResult>> Propose,
    Func<ReadConsistency, CancellationToken, ValueTask> Wait,
    Func<long> AppliedIndex,
    Func<long> Now,
    long TokenMilliseconds);

/// <summary>
/// One identity before the store: finds out who calls, signs what is proposed, and judges what is read. The rules are <see cref="Authorisation"/>'s; here is only when they are asked.
/// A write is judged when it is applied. It is also judged before, and once more after all that was committed is applied here, so that what is forbidden costs the log nothing and what was just permitted works.
/// </summary>
/// <param name="identity">Null: the embedding process itself, which has every right.</param>
/// <param name="services">The store.</param>
internal sealed class CallerAccess(LoomIdentity? identity, CallServices services)
{
    /// <summary>Users and roles may change while a call is under way, and then it is judged again; so often, then the caller is told.</summary>
    private const int MaxTries = 8;

    /// <summary>Nobody is judged.</summary>
    public bool Trusts => identity is null;

    /// <summary>
    /// Users and roles as they are published here, also while this member serves no read: a write that it passes on is judged in apply, and its status is told to whom they permit. One that has no state yet knows nobody,
    /// so it tells that to everybody, and reads give its reason (S4).
    /// </summary>
    public PublishedAuth Auth => services.Machine.Current.Auth;

    public ValueTask<ProposalResult> ProposeAsync(Command command, CancellationToken cancellationToken)
    {
        services.Check(command);
        return identity is null ? services.Propose(command, cancellationToken)

            // The way of most calls where nobody is asked. It may have been enabled by now: that is seen in apply.
            : identity == LoomIdentity.Anonymous && !Auth.State.IsEnabled ? services.Propose(command with { Caller = Caller.Anonymous }, cancellationToken)
            : ProposeJudgedAsync(command, cancellationToken);
    }

    private ValueTask<ProposalResult> ProposeJudgedAsync(Command command, CancellationToken cancellationToken) =>
        CallAsync(caller => ProposeAsync(command with { Caller = caller }, caller, cancellationToken), cancellationToken);

    /// <summary>Proposes a command of the cluster's own, which nobody's rights are asked for.</summary>
    public ValueTask<ProposalResult> ProposeTrustedAsync(Command command, CancellationToken cancellationToken)
    {
        services.Check(command);
        return services.Propose(command, cancellationToken);
    }

    /// <summary>Waits until all that was committed before is applied here, whoever calls.</summary>
    public ValueTask BarrierAsync(CancellationToken cancellationToken) => services.Wait(ReadConsistency.Linearizable, cancellationToken);

    /// <summary>Makes a call that proposes something as whoever calls; makes it again when that was judged by users and roles which are others by now: nothing of it was applied then.</summary>
    public async ValueTask<T> CallAsync<T>(Func<Caller?, ValueTask<T>> call, CancellationToken cancellationToken)
    {
        if (identity is null)
        {
            return await call(null).ConfigureAwait(false);
        }

        for (int tries = 1; ; tries++)
        {
            Caller caller = await IdentifyAsync(cancellationToken).ConfigureAwait(false);
            if (caller.IsAnonymous && Auth.State.IsEnabled)
            {
                // It may have been disabled where the caller comes from.
                await services.Wait(ReadConsistency.Linearizable, cancellationToken).ConfigureAwait(false);
                RequireUser();
            }

            try
            {
                return await call(caller).ConfigureAwait(false);
            }
            catch (LoomException fault) when (tries < MaxTries && IsJudgedAnew(fault, caller))
            {
            }
        }
    }

    /// <summary>Waits as the consistency asks, and until this replica knows the caller's token, if it was given at all.</summary>
    public ValueTask WaitAsync(ReadConsistency consistency, CancellationToken cancellationToken) =>
        identity?.Token is null ? services.Wait(consistency, cancellationToken) : WaitForTokenAsync(consistency, cancellationToken);

    private async ValueTask WaitForTokenAsync(ReadConsistency consistency, CancellationToken cancellationToken)
    {
        await services.Wait(consistency, cancellationToken).ConfigureAwait(false);
        _ = await IdentifyAsync(cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Refuses a caller of whom nothing is known.</summary>
    public void RequireUser() => Require(Auth.State, static (_, _) => 0);

    /// <summary>Refuses everybody but root, by what this replica has applied; a member that has no state yet does not know who that is.</summary>
    public async ValueTask RequireRootAsync(CancellationToken cancellationToken)
    {
        await WaitAsync(ReadConsistency.Local, cancellationToken).ConfigureAwait(false);
        if (identity is not null && services.Machine.IsAwaited)
        {
            throw Faults.StateAwaited();
        }

        Require(Auth.State, static (_, user) => user.IsRoot ? 0 : LoomErrorCode.PermissionDenied);
    }

    /// <summary>Refuses who may not read a range, by these users and roles.</summary>
    public void RequireRead(AuthState auth, KeyRange range)
    {
        if (identity is not null && auth.IsEnabled)
        {
            RequireJudged(auth, range);
        }
    }

    private void RequireJudged(AuthState auth, KeyRange range) => Require(auth, (state, user) => Authorisation.CheckRead(state, user, range));

    /// <summary>Refuses who may not run a read-only transaction.</summary>
    public void RequireRead(AuthState auth, Transaction transaction)
    {
        if (identity is not null && auth.IsEnabled)
        {
            Require(auth, (state, user) => Authorisation.CheckRead(state, user, transaction, NoLeases));
        }
    }

    /// <summary>Refuses, by these users and roles, whom the rule refuses.</summary>
    public void Require(AuthState auth, Func<AuthState, AuthUser, LoomErrorCode> rule)
    {
        if (identity is null || !auth.IsEnabled)
        {
            return;
        }

        LoomErrorCode refusal = Identify(auth, out Caller caller);
        if (refusal == 0)
        {
            refusal = caller.IsAnonymous ? LoomErrorCode.AuthenticationRequired
                : auth.FindUser(caller.User) is not { } user ? LoomErrorCode.PermissionDenied
                : rule(auth, user);
        }

        if (refusal != 0)
        {
            throw Refusals.ToException(refusal);
        }
    }

    /// <summary>The name of whoever calls; null: nobody is asked, or nobody knows.</summary>
    public string? NameIn(AuthState auth) => identity is null || !auth.IsEnabled || Identify(auth, out Caller caller) != 0 || caller.IsAnonymous ? null : caller.User;

    /// <summary>
    /// Whether what was read at a revision may be shown (A2). The users and roles were published when it had been read, and permit it; if they are not newer than its revision, they were in force at it.
    /// Bounded: changes of users, however many, do not hold a read up.
    /// </summary>
    /// <param name="auth">The users and roles.</param>
    /// <param name="read">The revision that was read.</param>
    /// <param name="tries">How many times it was read.</param>
    /// <exception cref="LoomException">AuthRevisionOld: they were newer again and again.</exception>
    public bool MayShow(PublishedAuth auth, Revision read, int tries) =>
        identity is null || read.Number >= auth.Since || (tries >= MaxTries ? throw Refusals.ToException(LoomErrorCode.AuthRevisionOld) : false);

    // A read-only transaction puts nothing.
    private static readonly LeaseTable NoLeases = new();

    private bool IsJudgedAnew(LoomException fault, Caller caller) =>
        fault.Code == LoomErrorCode.AuthRevisionOld

        // It was proposed before this replica knew that authentication is enabled.
        || (fault.Code == LoomErrorCode.AuthenticationRequired && caller.IsAnonymous && identity != LoomIdentity.Anonymous);

    private async ValueTask<ProposalResult> ProposeAsync(Command command, Caller? caller, CancellationToken cancellationToken)
    {
        LoomErrorCode refusal = Judge(command);
        if (refusal is not (0 or LoomErrorCode.AuthRevisionOld))
        {
            // It may have been permitted where the caller comes from: asked through the quorum, which costs the log nothing, the answer is as good as that of an entry.
            await services.Wait(ReadConsistency.Linearizable, cancellationToken).ConfigureAwait(false);
            refusal = Auth.State.Revision != caller!.AuthRevision && !caller.IsAnonymous ? LoomErrorCode.AuthRevisionOld : Judge(command);
            if (refusal != 0)
            {
                throw Refusals.ToException(refusal);
            }
        }

        return await services.Propose(command, cancellationToken).ConfigureAwait(false);
    }

    // Each lease is looked at under the applier's lock by itself, so that a large transaction does not hold writes up.
    private LoomErrorCode Judge(Command command) => Authorisation.Check(command, Auth.State, services.Machine);

    private async ValueTask<Caller> IdentifyAsync(CancellationToken cancellationToken)
    {
        LoomErrorCode refusal = Identify(Auth.State, out Caller caller);
        if (refusal != 0 && identity!.TokenIndex > services.AppliedIndex())
        {
            // Given by a member that is ahead of this one.
            await services.Wait(ReadConsistency.Linearizable, cancellationToken).ConfigureAwait(false);
            refusal = Identify(Auth.State, out caller);
        }

        return refusal == 0 ? caller : throw Refusals.ToException(refusal);
    }

    private LoomErrorCode Identify(AuthState auth, out Caller caller)
    {
        caller = Caller.Anonymous;
        if (!auth.IsEnabled || identity == LoomIdentity.Anonymous)
        {
            return 0;
        }

        string? name = identity!.User;
        if (name is null)
        {
            KnownToken? token = identity.TokenIndex > 0 ? services.Machine.Tokens.Use(identity.TokenDigest, services.Now(), services.TokenMilliseconds) : null;
            if (token is null || token.Index != identity.TokenIndex || !token.StandsIn(auth))
            {
                return LoomErrorCode.InvalidToken;
            }

            name = token.User;
        }

        caller = new Caller(name, auth.Revision);
        return 0;
    }
}
