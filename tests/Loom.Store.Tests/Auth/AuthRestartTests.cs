using System.Text;
using Loom.Raft;
using Loom.Raft.Membership;
using Loom.Store.Applying;
using Loom.Store.Model;
using Loom.Store.Tests.Records;
using Loom.Store.Tests.Snapshots;
using Loom.Testing;
using NUnit.Framework;

namespace Loom.Store.Tests.Auth;

/// <summary>Users, roles and tokens of real stores on a real disk: from a checkpoint, from the log above one, from a backup, and on all members of a cluster.</summary>
internal sealed class AuthRestartTests
{
    private const string Password = "secret";
    private string root = "";

    [SetUp]
    public void CreateRoot() => root = Directory.CreateTempSubdirectory("loom-auth-").FullName;

    [TearDown]
    public void DeleteRoot() => Directory.Delete(root, recursive: true);

    [Test]
    public async Task A_closed_store_has_its_users_again()
    {
        LoomOptions options = One("closed");
        await using (LoomStore first = await LoomStore.OpenAsync(options))
        {
            await FillAsync(first);
        }

        await using LoomStore again = await LoomStore.OpenAsync(options);
        await CheckAsync(again);
    }

    /// <summary>A checkpoint in the middle, changes above it, and no orderly end. The token of the log that is replayed stands for its user still; the one of before the checkpoint may be forgotten, and is not another's.</summary>
    [Test]
    public async Task A_store_that_died_has_its_users_again()
    {
        LoomOptions options = One("live");
        options.SnapshotCount = 6;
        await using LoomStore live = await LoomStore.OpenAsync(options);
        await FillAsync(live);
        string token = (await live.Auth.AuthenticateAsync("ann", Password)).Text;
        CheckpointDirectory.CopyAtRest(options.DataDirectory, Path.Combine(root, "copy"));
        await using LoomStore again = await LoomStore.OpenAsync(One("copy"));
        ILoomStore ann = again.As(LoomIdentity.OfToken(token));
        try
        {
            await ann.PutAsync(B("a/1"), B("v"));
        }
        catch (LoomException exception) when (exception.Code == LoomErrorCode.InvalidToken)
        {
        }

        await CheckAsync(again);
    }

    [Test]
    public async Task A_restored_backup_has_its_users_and_none_of_its_tokens()
    {
        string backup = Path.Combine(root, "backup");
        string token;
        await using (LoomStore first = await LoomStore.OpenAsync(One("first")))
        {
            await FillAsync(first);
            token = (await first.Auth.AuthenticateAsync("ann", Password)).Text;
            await using FileStream file = File.Create(backup);
            await using LoomBackupStream stream = await first.OpenBackupAsync();
            await stream.CopyToAsync(file);
        }

        using (LoomStateMachine installed = RestoredState.Open(backup))
        {
            Assert.That((installed.Current.Auth.State.IsEnabled, installed.Current.Auth.State.Users.Count), Is.EqualTo((true, 2)), "as a member that takes a snapshot has it");
        }

        LoomBackup.Restore(backup, One("restored"));
        await using LoomStore restored = await LoomStore.OpenAsync(One("restored"));
        Assert.That(
            (await Assert.ThrowsAsync<LoomException>(async () => await restored.As(LoomIdentity.OfToken(token)).GetAsync(B("a/1"), ReadConsistency.Linearizable)))!.Code, Is.EqualTo(LoomErrorCode.InvalidToken));
        await CheckAsync(restored);
    }

    /// <summary>
    /// Goal: a token counts on every member from the moment at which it was given, and a change of users holds on every member for linearizable reads and for writes after it. Method: three members; what one gives or
    /// takes away, another is asked for at once.
    /// </summary>
    [Test]
    public async Task All_members_know_a_token_at_once_and_what_was_taken_away_is_gone_on_all()
    {
        InitialMember[] members = [.. FreePorts.Take(3).Select((port, i) => new InitialMember($"m{i}", $"dc{i}", MemberRole.Voter, [$"http://127.0.0.1:{port}"]))];
        LoomStore[] stores = await Task.WhenAll(members.Select(member => LoomStore.OpenAsync(new LoomOptions
        {
            Name = member.Name, DataDirectory = Path.Combine(root, member.Name), InitialCluster = members, ListenPeerUrls = member.PeerUrls, PasswordCost = 4,
        }).AsTask()));
        try
        {
            await FillAsync(stores[0]);
            for (int round = 0; round < 12; round++)
            {
                LoomStore here = stores[round % 3], there = stores[(round + 1) % 3], third = stores[(round + 2) % 3];
                ILoomStore ann = there.As(LoomIdentity.OfToken((await here.Auth.AuthenticateAsync("ann", Password)).Text));
                await ann.PutAsync(B("a/1"), B("v"));
                await ann.GetAsync(B("a/1"), ReadConsistency.Local);
                await here.Auth.RevokeRoleAsync("ann", "r");
                await DeniedAsync(() => ann.PutAsync(B("a/1"), B("w")), LoomErrorCode.PermissionDenied);
                await DeniedAsync(() => ann.GetAsync(B("a/1"), ReadConsistency.Linearizable), LoomErrorCode.PermissionDenied);
                await third.Auth.GrantRoleAsync("ann", "r");
                await ann.PutAsync(B("a/1"), B("x"));
                Assert.That((await ann.GetAsync(B("a/1"), ReadConsistency.Linearizable))!.Value.ToArray(), Is.EqualTo(B("x")));
            }

            foreach (LoomStore store in stores)
            {
                await store.ReadBarrierAsync();
            }

            Assert.That(stores.Select(store => store.Status.Raft.ApplyHash).Distinct().Count(), Is.EqualTo(1), "the same state on all");
        }
        finally
        {
            foreach (LoomStore store in stores)
            {
                await store.DisposeAsync();
            }
        }
    }

    private LoomOptions One(string name) => new() { DataDirectory = Path.Combine(root, name), PasswordCost = 4 };

    private static async Task FillAsync(LoomStore store)
    {
        await store.Auth.AddUserAsync("root", Password);
        await store.Auth.GrantRoleAsync("root", "root");
        await store.Auth.AddUserAsync("ann", Password);
        await store.Auth.AddUserAsync("gone", Password);
        await store.Auth.AddRoleAsync("r");
        await store.Auth.GrantPermissionAsync("r", new Permission(PermissionKind.ReadWrite, KeyRange.Prefix("a/")));
        await store.Auth.GrantPermissionAsync("r", new Permission(PermissionKind.Read, KeyRange.Single(B("b"))));
        await store.Auth.GrantRoleAsync("ann", "r");
        await store.Auth.EnableAsync();
        await store.PutAsync(B("b"), B("1"));
        await store.Auth.DeleteUserAsync("gone");
    }

    private static async Task CheckAsync(LoomStore store)
    {
        Assert.That((await store.Auth.StatusAsync()) is { IsEnabled: true, AuthRevision: 10 }, Is.True);
        Assert.That((await store.Auth.ListUsersAsync()).Names, Is.EqualTo(new[] { "ann", "root" }));
        Assert.That((await store.Auth.GetRoleAsync("r")).Permissions.Select(one => (one.Kind, Encoding.UTF8.GetString(one.Range.Start.Span))), Is.EqualTo(new[] { (PermissionKind.ReadWrite, "a/"), (PermissionKind.Read, "b") }));
        await DeniedAsync(() => store.As(LoomIdentity.Anonymous).GetAsync(B("b"), ReadConsistency.Linearizable), LoomErrorCode.AuthenticationRequired);
        await DeniedAsync(() => store.Auth.AuthenticateAsync("gone", Password), LoomErrorCode.AuthenticationFailed);
        ILoomStore ann = store.As(LoomIdentity.OfToken((await store.Auth.AuthenticateAsync("ann", Password)).Text));
        Assert.That((await ann.GetAsync(B("b"), ReadConsistency.Linearizable))!.Value.ToArray(), Is.EqualTo(B("1")));
        await ann.PutAsync(B("a/1"), B("v"));
        await DeniedAsync(() => ann.PutAsync(B("b"), B("2")), LoomErrorCode.PermissionDenied);
    }

    private static async Task DeniedAsync<T>(Func<ValueTask<T>> call, LoomErrorCode code) =>
        Assert.That((await Assert.ThrowsAsync<LoomException>(async () => await call()))!.Code, Is.EqualTo(code));

    private static byte[] B(string text) => Encoding.UTF8.GetBytes(text);
}
