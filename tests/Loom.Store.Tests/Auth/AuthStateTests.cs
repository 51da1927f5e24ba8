using CsCheck;
using Loom.Raft;
using Loom.Store.Auth;
using Loom.Store.Model;
using Loom.Store.Mvcc;
using NUnit.Framework;

namespace Loom.Store.Tests.Auth;

internal sealed class AuthStateTests
{
    private static readonly Gen<string> Name = Gen.Char['a', 'f'].Array[1, 2].Select(letters => new string(letters));
    private static readonly Gen<byte[]> Key = Gen.Byte.Array[1, 4];
    private static readonly Gen<KeyRange> Range = Gen.Select(Key, Key, Gen.Bool, (start, end, isSingle) => isSingle ? KeyRange.Single(start) : new KeyRange(start, end)).Where(range => !range.IsEmpty());

    private static readonly Gen<Func<AuthState, AuthState>> Step = Gen.OneOf<Func<AuthState, AuthState>>(
        Gen.Select(Name, Gen.Byte.Array[0, 60], Gen.Bool, Name.Array[0, 3], (name, hash, has, roles) => (Func<AuthState, AuthState>)(state =>
            state.With(new AuthUser(name, hash, has, state.Revision + 1, [.. roles.Distinct().Order(StringComparer.Ordinal)])))),
        Name.Select(name => (Func<AuthState, AuthState>)(state => state.WithoutUser(name))),
        Gen.Select(Name, Range.Array[0, 3], Gen.Int[0, 2], (name, ranges, kind) => (Func<AuthState, AuthState>)(state => state.With(new AuthRole(
            name, [.. ranges.DistinctBy(range => Convert.ToHexString(range.Start.Span) + "," + Convert.ToHexString(range.End.Span)).Select(range => new Permission((PermissionKind)kind, range)).OrderBy(one => one.Range, Order)])))),
        Name.Select(name => (Func<AuthState, AuthState>)(state => state.WithoutRole(name))),
        Gen.Bool.Select(enables => (Func<AuthState, AuthState>)(state => enables ? state.Enabled() : state.Disabled())));

    private static readonly Comparer<KeyRange> Order = Comparer<KeyRange>.Create(AuthStateCodec.Compare);

    [Test]
    public void Any_state_survives_its_bytes_and_has_one_form() => Step.Array[0, 30].Sample(
        steps =>
        {
            AuthState state = steps.Aggregate(AuthState.Initial, (before, step) => step(before));
            byte[] bytes = state.Encode();
            var decoded = AuthStateCodec.Decode(bytes);
            return bytes.Length == state.EncodedBytes && decoded.Encode().AsSpan().SequenceEqual(bytes)
                && decoded.IsEnabled == state.IsEnabled && decoded.Revision == state.Revision && decoded.EnabledRevision == state.EnabledRevision
                && decoded.Users.Select(user => user.Name).SequenceEqual(state.Users.Select(user => user.Name));
        },
        iter: 2000,
        threads: 1);

    /// <summary>Whatever the bytes are, it is one exception and nothing else, and nothing is allocated for a count that they do not hold.</summary>
    [Test]
    public void Bytes_that_no_version_wrote_are_refused() => Gen.Select(Step.Array[0, 12], Gen.Int[0, 100_000], Gen.Byte, Gen.Int[0, 100_000]).Sample(
        (steps, at, value, cut) =>
        {
            byte[] bytes = steps.Aggregate(AuthState.Initial, (before, step) => step(before)).Encode();
            bytes[at % bytes.Length] = value;
            return Survives(bytes) && Survives(bytes[..(cut % bytes.Length)]);
        },
        iter: 5000,
        threads: 1);

    [Test]
    public void A_newer_format_is_told_from_damage_and_counts_are_bounded()
    {
        byte[] good = AuthState.Initial.Encode();
        Assert.That(() => AuthStateCodec.Decode([2, .. good[1..]]), Throws.TypeOf<RaftException>().With.Property("Code").EqualTo(RaftErrorCode.CannotOpen));
        byte[] many = [.. good];
        many[21] = 0x7F;
        Assert.That(() => AuthStateCodec.Decode(many), Throws.TypeOf<RaftException>().With.Property("Code").EqualTo(RaftErrorCode.Corruption));
        Assert.That(() => AuthStateCodec.Decode([.. good, 0]), Throws.TypeOf<RaftException>().With.Property("Code").EqualTo(RaftErrorCode.Corruption));
    }

    /// <summary>What a user may do follows his roles as they change: nothing is kept of what a role permitted before.</summary>
    [Test]
    public void What_a_user_may_do_follows_his_roles()
    {
        KeyRange a = KeyRange.Single("a"u8.ToArray()), b = KeyRange.Single("b"u8.ToArray());
        AuthState state = AuthState.Initial.With(new AuthUser("ann", default, false, 2, ["r"])).With(new AuthRole("r", [new(PermissionKind.Read, a)]));
        Assert.That(May(state, a), Is.True);
        state = state.With(new AuthRole("r", [new(PermissionKind.Read, b)]));
        Assert.That((May(state, a), May(state, b)), Is.EqualTo((false, true)));
        state = state.WithoutRole("r");
        Assert.That((May(state, b), state.FindUser("ann")!.Roles.Count), Is.EqualTo((false, 0)));
        state = state.With(new AuthRole("r", [new(PermissionKind.Read, b)]));
        Assert.That(May(state, b), Is.False, "a role that was deleted and made again is another one");
    }

    [Test]
    public void A_token_ends_with_its_user_his_password_and_authentication()
    {
        AuthState state = AuthState.Initial.With(new AuthUser("ann", default, true, 2, [])).Enabled();
        var token = new KnownToken("ann", state.Revision, 9);
        Assert.That(token.StandsIn(state), Is.True);
        Assert.That(token.StandsIn(state.With(new AuthRole("r", [])).With(new AuthUser("bob", default, true, state.Revision + 2, []))), Is.True, "other changes leave it alone");
        Assert.That(token.StandsIn(state.WithoutUser("ann")), Is.False);
        Assert.That(token.StandsIn(state.WithoutUser("ann").With(new AuthUser("ann", default, true, state.Revision + 2, []))), Is.False, "another user of the name");
        Assert.That(token.StandsIn(state.With(state.FindUser("ann")! with { CredentialsRevision = state.Revision + 1 })), Is.False, "another password");
        Assert.That(token.StandsIn(state.Disabled()), Is.False);
        Assert.That(token.StandsIn(state.Disabled().Enabled()), Is.False, "enabled again");
    }

    private static bool May(AuthState state, KeyRange range) => state.FindUser("ann")!.RangesIn(state).MayRead(range);

    private static bool Survives(byte[] bytes)
    {
        try
        {
            AuthStateCodec.Decode(bytes);
        }
        catch (RaftException)
        {
        }

        return true;
    }
}
