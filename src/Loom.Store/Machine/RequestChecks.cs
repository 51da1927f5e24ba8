using System.Globalization;
using Loom.Store.Commands;
using Loom.Store.Leases;
using Loom.Store.Model;

namespace Loom.Store.Machine;

/// <summary>What makes a request impossible whatever the state: checked before a proposal, so that the log stays clean, and again in apply. Order as in etcd: the first fault found is the answer.</summary>
internal static class RequestChecks
{
    private static readonly Fault EmptyKey = new(LoomErrorCode.EmptyKey, "the key is empty. Give a key of at least one byte");
    private static readonly Fault ValueProvided = new(LoomErrorCode.ValueProvided, "a value is given together with 'ignore value'. Leave one of them out");
    private static readonly Fault LeaseProvided = new(LoomErrorCode.LeaseProvided, "a lease is given together with 'ignore lease'. Leave one of them out");
    private static readonly Fault InvalidSort = new(LoomErrorCode.InvalidSort, "the sort target is not known. Use key, version, create, mod or value");
    private static readonly Fault TooMany = new(LoomErrorCode.TooManyOperations, "a transaction has more than 128 compares or operations in one list, nested ones counted in. Split it");
    private static readonly Fault Duplicate = new(LoomErrorCode.DuplicateKey, "a transaction puts a key twice, or puts a key that it also deletes; branches that may not run count too. Leave one of them out");

    private static readonly Fault UnknownAlarm = new(LoomErrorCode.InvalidRequest, "this kind of alarm is not known. Name NOSPACE or CORRUPT");

    private static readonly Fault NoLeaseId = new(LoomErrorCode.InvalidRequest, "a lease needs an id other than 0. Leave it out, and one is chosen");
    private static readonly Fault LongLease = new(LoomErrorCode.LeaseTooLong, "a lease lives at most 9,000,000,000 seconds. Ask for less");
    private static readonly Fault ShortLease = new(LoomErrorCode.InvalidRequest, "a lease lives at least one second. Ask for more");

    public static Fault? Check(Command command) => command switch
    {
        LeaseGrantCommand grant => grant.Seconds > LeaseTerm.MaxSeconds ? LongLease : grant.Seconds < 1 ? ShortLease : grant.Id == 0 ? NoLeaseId : null,
        PutCommand put => Check(put.Put),
        DeleteCommand delete => Check(delete.Delete),
        TransactionCommand transaction => Check(transaction.Transaction),
        AuthCommand or AuthenticateCommand => AuthChecks.Check(command),
        AlarmCommand { Alarm.Kind: < AlarmKind.NoSpace or > AlarmKind.LowDisk } => UnknownAlarm,
        _ => null,
    };

    public static Fault? Check(RangeQuery query) =>
        CheckKey(query.Range.Start) ?? (query.SortTarget > SortTarget.Value ? InvalidSort : null);

    public static Fault? Check(PutOperation put)
    {
        Fault? key = CheckKey(put.Key);
        return key
            ?? (put.IgnoreValue && !put.Value.IsEmpty ? ValueProvided
            : put.IgnoreLease && put.Lease != 0 ? LeaseProvided
            : null);
    }

    public static Fault? Check(DeleteOperation delete) => CheckKey(delete.Range.Start);

    public static Fault? Check(Transaction transaction) =>
        CheckOperations(transaction, CommandLimits.MaxOperations) ?? (DuplicateKeys.Has(transaction) ? Duplicate : null);

    private static Fault? CheckKey(ReadOnlyMemory<byte> key) =>
        key.IsEmpty ? EmptyKey : key.Length > CommandLimits.MaxKeyBytes ? LongKey(key.Length) : null;

    private static Fault LongKey(int bytes) => new(
        LoomErrorCode.InvalidRequest, string.Create(CultureInfo.InvariantCulture, $"a key is {bytes:N0} bytes long, and 65,535 are the most. Shorten it, or put the long part into the value"));

    /// <summary>A transaction uses up the longest of its three lists; what is nested in it shares the rest.</summary>
    private static Fault? CheckOperations(Transaction transaction, int budget)
    {
        int used = Math.Max(transaction.Compares.Count, Math.Max(transaction.Success.Count, transaction.Failure.Count));
        if (used > budget)
        {
            return TooMany;
        }

        foreach (Compare compare in transaction.Compares)
        {
            if (CheckKey(compare.Range.Start) is { } fault)
            {
                return fault;
            }
        }

        return CheckBranch(transaction.Success, budget - used) ?? CheckBranch(transaction.Failure, budget - used);
    }

    private static Fault? CheckBranch(IReadOnlyList<Operation> operations, int budget)
    {
        foreach (Operation operation in operations)
        {
            Fault? fault = operation switch
            {
                PutOperation put => Check(put),
                DeleteOperation delete => Check(delete),
                RangeOperation range => Check(range.Query),
                NestedOperation nested => CheckOperations(nested.Transaction, budget),
                _ => null,
            };
            if (fault is not null)
            {
                return fault;
            }
        }

        return null;
    }
}
