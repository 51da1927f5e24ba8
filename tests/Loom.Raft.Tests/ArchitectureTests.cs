using Loom.Testing;
using NUnit.Framework;

namespace Loom.Raft.Tests;

/// <summary>
/// T2 and T3 for everything below the facade. The pure folders have an analyzer with the strict list; this reads the assembly itself, so that what the analyzer
/// is not switched on for is held as well, with exceptions by namespace.
/// </summary>
public sealed class ArchitectureTests
{
    private const string Facade = "Loom.Raft";
    private const string Host = "Loom.Raft.Host";
    private const string Transport = "Loom.Raft.Transport";

    /// <summary>What is banned (a type, or type::member), why, and the namespaces that may.</summary>
    private static readonly (string Banned, string Why, string[] Allowed)[] Rules =
    [
        ("System.Threading.Tasks.Task::Run", "the pool belongs to the host application (N1)", [Facade]),
        ("System.Threading.Tasks.TaskFactory", "the pool belongs to the host application (N1)", []),
        ("System.Threading.ThreadPool", "the pool belongs to the host application (N1)", []),
        ("System.Threading.Tasks.Parallel", "threads belong to the host (T3)", []),
        ("System.Linq.ParallelEnumerable", "order differs (T3)", []),
        ("System.Runtime.CompilerServices.AsyncTaskMethodBuilder", "nothing below the facade awaits (T2)", [Facade, Host]),
        ("System.Runtime.CompilerServices.AsyncValueTaskMethodBuilder", "nothing below the facade awaits (T2)", [Facade]),
        ("System.Threading.Thread", "threads belong to host and transport (T3)", [Host, Transport]),
        ("System.Threading.Monitor", "below the host there is one thread (T2)", [Facade, Host, Transport, "Loom.Raft.Membership", "Loom.Raft.Snapshots", "Loom.Raft.Threads"]),
        ("System.Threading.Timer", "time is an input (T1)", []),
        ("System.Threading.PeriodicTimer", "time is an input (T1)", []),
        ("System.Timers.Timer", "time is an input (T1)", []),
        ("System.Diagnostics.Stopwatch", "time is an input (T1)", []),
        ("System.TimeProvider", "time is an input (T1)", []),
        ("System.DateTime::get_Now", "time is an input (T1)", []),
        ("System.DateTime::get_UtcNow", "time is an input (T1)", []),
        ("System.DateTimeOffset::get_Now", "time is an input (T1)", []),
        ("System.DateTimeOffset::get_UtcNow", "time is an input (T1)", []),
        ("System.Environment::get_TickCount", "time is an input (T1)", []),
        ("System.Environment::get_TickCount64", "time is an input (T1)", []),
        ("System.Guid::NewGuid", "randomness is seeded (T3)", []),
        ("System.Guid::CreateVersion7", "randomness is seeded (T3)", []),
        ("System.Random", "randomness is seeded (T3)", []),
        ("System.Security.Cryptography.RandomNumberGenerator", "randomness is seeded (T3); the facade draws the seed", [Facade]),
        ("System.HashCode", "differs per process (T3)", []),
        ("System.String::GetHashCode", "differs per process (T3)", []),
        ("System.Collections.Generic.HashSet`1", "unordered (T3)", []),
        ("System.Collections.Hashtable", "unordered (T3)", []),
        ("System.Collections.Concurrent.ConcurrentDictionary`2", "unordered (T3)", []),
        ("System.Collections.Concurrent.ConcurrentBag`1", "unordered (T3)", []),
        ("System.Collections.Immutable.ImmutableDictionary`2", "order differs per process (T3)", []),
        ("System.Collections.Immutable.ImmutableHashSet`1", "order differs per process (T3)", []),
        ("System.Net.Sockets.Socket", "sockets belong to the transport (N1)", [Transport]),
    ];

    private static readonly IReadOnlyList<MemberUse> Uses = MemberReferences.Of(typeof(RaftNode).Assembly);

    [Test]
    public void Below_the_facade_nothing_awaits_reads_a_clock_or_draws_at_random()
    {
        string[] broken = [.. Rules.SelectMany(rule => Uses
            .Where(use => IsOurs(use) && Matches(use.Member, rule.Banned) && !rule.Allowed.Contains(use.Namespace))
            .Select(use => $"{use.Namespace}.{use.Type} uses {use.Member}: {rule.Why}"))];
        Assert.That(broken, Is.Empty, string.Join('\n', broken));
    }

    /// <summary>That the reader of references sees what is there: lambdas, generic types, and a use that each exception is for.</summary>
    [Test]
    public void Every_exception_is_used_so_the_search_does_find_things()
    {
        string[] unused = [.. Rules.SelectMany(rule => rule.Allowed
            .Where(space => !Uses.Any(use => use.Namespace == space && Matches(use.Member, rule.Banned)))
            .Select(space => $"{space} may use {rule.Banned} and does not"))];
        Assert.That(unused, Is.Empty, string.Join('\n', unused));
    }

    [Test]
    public void Loom_Raft_refers_to_no_other_assembly_of_ours()
    {
        IEnumerable<string> ours = typeof(RaftNode).Assembly.GetReferencedAssemblies().Select(a => a.Name!).Where(n => n.StartsWith("Loom", StringComparison.Ordinal));
        Assert.That(ours, Is.Empty);
    }

    // Source generators put their helpers into namespaces of the runtime; they are not our code.
    private static bool IsOurs(MemberUse use) => use.Namespace.StartsWith("Loom.", StringComparison.Ordinal);

    private static bool Matches(string member, string banned) =>
        member == banned || (!banned.Contains("::", StringComparison.Ordinal)
            && (member.StartsWith(banned + "::", StringComparison.Ordinal) || member.StartsWith(banned + "`1::", StringComparison.Ordinal)));
}
