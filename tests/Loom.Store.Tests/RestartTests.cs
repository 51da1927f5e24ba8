using System.Globalization;
using System.Text;
using Loom.Raft;
using Loom.Raft.Membership;
using Loom.Testing;
using NUnit.Framework;

namespace Loom.Store.Tests;

/// <summary>Members that come back: what a local read shows before any peer has been heard.</summary>
internal sealed class RestartTests
{
    private const int Keys = 3000;
    private string root = "";

    [SetUp]
    public void CreateRoot() => root = Directory.CreateTempSubdirectory("loom-restart-").FullName;

    [TearDown]
    public void DeleteRoot() => Directory.Delete(root, recursive: true);

    [Test]
    public async Task A_member_that_comes_back_alone_reads_locally_what_it_knew_to_be_committed()
    {
        InitialMember[] members = [.. FreePorts.Take(2).Select((port, i) => new InitialMember($"m{i}", $"dc{i}", MemberRole.Voter, [$"http://127.0.0.1:{port}"]))];
        LoomStore first = await LoomStore.OpenAsync(Options(members, 0));
        LoomStore second = await LoomStore.OpenAsync(Options(members, 1));
        await Task.WhenAll(Enumerable.Range(0, Keys).Select(i => first.PutAsync(Key(i), Key(i)).AsTask()));
        // What is known to be committed is saved with the next append.
        await second.PutAsync(Key(Keys), Key(Keys));
        await second.PutAsync(Key(Keys + 1), Key(Keys + 1));
        await first.DisposeAsync();
        await second.DisposeAsync();

        await using LoomStore alone = await LoomStore.OpenAsync(Options(members, 0));
        int found = Enumerable.Range(0, Keys).Count(i => alone.Get(Key(i)) is not null);
        Assert.That(found, Is.EqualTo(Keys));
    }

    private LoomOptions Options(InitialMember[] members, int self) => new()
    {
        Name = members[self].Name,
        DataDirectory = Path.Combine(root, members[self].Name),
        InitialCluster = members,
        ListenPeerUrls = members[self].PeerUrls,
    };

    private static byte[] Key(int number) => Encoding.ASCII.GetBytes(number.ToString("d6", CultureInfo.InvariantCulture));
}
