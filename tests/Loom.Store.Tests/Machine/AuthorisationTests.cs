using Loom.Store.Auth;
using Loom.Store.Commands;
using Loom.Store.Leases;
using Loom.Store.Machine;
using Loom.Store.Model;
using NUnit.Framework;

namespace Loom.Store.Tests.Machine;

/// <summary>What judging a command costs.</summary>
internal sealed class AuthorisationTests
{
    private static readonly AuthState State = AuthState.Initial
        .With(new AuthUser("ann", default, false, 2, ["r"]))
        .With(new AuthRole("r", [new(PermissionKind.ReadWrite, KeyRange.Prefix("a/"))]))
        .Enabled();

    /// <summary>Goal: a small transaction of many puts does not make every member look at a lease as many times. Method: the looks are counted.</summary>
    [Test]
    public void A_command_looks_once_at_each_lease_that_it_names()
    {
        var leases = new CountedLeases();
        Assert.That((Authorisation.Check(Puts(7), State, leases), leases.Looks), Is.EqualTo(((LoomErrorCode)0, 1)));
        Assert.That((Authorisation.Check(Puts(7, 8, 9), State, leases), leases.Looks), Is.EqualTo(((LoomErrorCode)0, 4)));
        Assert.That((Authorisation.Check(Puts(7, CountedLeases.Foreign), State, leases), leases.Looks), Is.EqualTo((LoomErrorCode.PermissionDenied, 6)));
    }

    /// <summary>60 nested transactions of 60 puts, in the branch that is not taken, too.</summary>
    private static TransactionCommand Puts(params long[] ids)
    {
        var nested = new NestedOperation(new Transaction([], [], [.. Enumerable.Range(0, 60).Select(i => new PutOperation("a/k"u8.ToArray(), default) { Lease = ids[i % ids.Length] })]));
        return new TransactionCommand(new Transaction([], [.. Enumerable.Repeat(nested, 60)], [nested])) { Caller = new Caller("ann", State.Revision) };
    }

    private sealed class CountedLeases : ILeaseKeys
    {
        public const long Foreign = 13;

        public int Looks { get; private set; }

        public bool MayWriteKeys(long lease, PermissionRanges ranges)
        {
            Looks++;
            return lease != Foreign;
        }

        public bool MayReadKeys(long lease, PermissionRanges ranges) => true;
    }
}
