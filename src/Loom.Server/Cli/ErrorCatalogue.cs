namespace Loom.Server.Cli;

/// <summary>What <c>loom explain CODE</c> says.</summary>
/// <param name="Code">LOOM1007.</param>
/// <param name="Title">What happened.</param>
/// <param name="Meaning">Why.</param>
/// <param name="Fix">What to do, as a sentence for the hint line.</param>
internal sealed record ErrorEntry(string Code, string Title, string Meaning, string Fix);

/// <summary>Every error code with its meaning and its fix.</summary>
internal static class ErrorCatalogue
{
    public static IReadOnlyList<ErrorEntry> All { get; } =
    [
        new("LOOM1001", "invalid request", "The request can never work as it is.", "correct the request; the message says what is wrong"),
        new("LOOM1002", "empty key", "A key must have at least one byte.", "give a key; for everything use: get --prefix ''"),
        new("LOOM1003", "key not found", "Keeping a key's value or lease needs the key to exist.", "put the key with a value first"),
        new("LOOM1004", "value provided", "A value was given together with --ignore-value.", "leave one of them out"),
        new("LOOM1005", "lease provided", "A lease was given together with --ignore-lease.", "leave one of them out"),
        new("LOOM1006", "request too large", "A request holds at most 1.5 MiB, so that one write cannot hold up all others.", "split the value, or store a reference to it"),
        new("LOOM1007", "no quorum", "This member hears no leader with a majority of the voters. Writes and linearizable reads stop until it does; serializable reads (get --consistency s) still work.", "see which members are missing with: loom status"),
        new("LOOM1008", "overloaded", "A queue of the member is full; the write was refused before it reached the log.", "retry after a moment; send fewer requests at once"),
        new("LOOM1009", "deadline exceeded", "The time for the call passed before its outcome was known. A write may have been applied, or may still be.", "read the key back before you write again"),
        new("LOOM1010", "stopped", "The member is stopping.", "use another member: --endpoints host:port,host:port"),
        new("LOOM1011", "member failed", "The member met an error that it must not survive, such as a failed flush of its disk. It acknowledges nothing more.", "read the member's log, mend the cause (disk, space), then restart it"),
        new("LOOM1012", "compacted", "History below the compacted revision is gone.", "read at a newer revision, or without --rev"),
        new("LOOM1013", "future revision", "The revision has not been written yet.", "read at a revision that a response named"),
        new("LOOM1014", "lease not found", "The lease does not exist or has expired.", "grant a new lease"),
        new("LOOM1015", "too many operations", "A transaction holds at most --max-txn-ops operations (128).", "split the transaction"),
        new("LOOM1016", "duplicate key", "A transaction may put a key once, and not put what it deletes.", "leave one of the operations out"),
        new("LOOM1017", "leader changed", "Leadership moved while the request was on its way. Nothing was applied.", "retry"),
        new("LOOM1018", "bad member", "No such member, or it cannot take leadership.", "see the members with: loom member list"),
        new("LOOM1019", "cannot open", "The store cannot be opened with this directory, address or configuration.", "the message says what does not fit; correct that setting"),
        new("LOOM1020", "corruption", "A file is damaged. It is never repaired in silence.", "keep a copy of the directory, and let the other members go on without this one"),
        new("LOOM1021", "not leader", "Only the leader can do this.", "ask the leader; loom status shows it"),
        new("LOOM1022", "invalid sort", "The order or target of the sort is unknown.", "use one of KEY, VERSION, CREATE, MODIFY, VALUE"),
        new("LOOM1023", "no space", "There is no space for puts: the state has reached --quota-backend-bytes, or so many members are short of disk that the others cannot commit. Deletes, compactions, reads and alarms still work, and the alarm clears itself when space is back.", "see which with: loom status; then delete keys and compact, raise the quota, or free disk"),
        new("LOOM1024", "corrupt cluster", "A CORRUPT alarm is active: replicas differ and no majority agrees. Every write is refused; reads go on.", "compare the members' hashes with: loom status; replace the one that differs, then: etcdctl alarm disarm"),
        new("LOOM1025", "target exists", "A backup is not written over a file, nor restored into a directory that holds something: what is there may be the only copy.", "choose another name, or move away what is there; loom backup replaces a file with --force"),
        new("LOOM1026", "state awaited", "This member has no state that its log goes on from, and takes one from another member. It votes and keeps its log, but answers no read before that.", "ask another member; see with loom status that one is there to take the state from"),
        new("LOOM1030", "lease exists", "A lease with this id was granted before and has not ended.", "choose another id, or give none and let one be chosen"),
        new("LOOM1031", "lease too long", "A lease lives at most 9,000,000,000 seconds.", "ask for less; a key that shall stay needs no lease"),
        new("LOOM1032", "too many leases", "A cluster holds at most 500,000 leases: all of them are in every checkpoint and snapshot.", "let keys share a lease, or revoke leases that nobody needs"),
        new("LOOM1040", "new epoch", "The state was taken up again from a backup: revisions of before are not of this history.", "read the keys again, and watch from the revision after that of the answer"),
        new("LOOM1041", "watch lost", "The state of this member was found to differ from that of the majority, so what its watches delivered may have been wrong.", "read the keys again on another member, and watch from there"),
        new("LOOM1070", "fence lost", "A write under a lock or election was refused in apply: the claim of its holder had ended (its lease did, or its key was deleted), and somebody else may hold the name by now. Nothing was applied.", "stop that work and acquire again; if it happens often, lengthen the time to live"),
        new("LOOM1071", "claim lost", "A claim to a lock or election has gone before its turn came: its lease ended, or its key was deleted. Nothing is held.", "claim again, with a lease that is renewed in time"),
        new("LOOM1072", "invalid configuration", "A key or value under the prefix that an application reads its configuration from is no UTF-8 text.", "put text there, or keep binary values under another prefix"),
        .. AuthErrors.All,
    ];

    /// <summary>LOOM1007, or 1007.</summary>
    public static ErrorEntry? Find(string code) => All.FirstOrDefault(e =>
        string.Equals(e.Code, code, StringComparison.OrdinalIgnoreCase) || e.Code.AsSpan("LOOM".Length).SequenceEqual(code));
}
