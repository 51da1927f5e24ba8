using Loom.Server.Etcd;
using Microsoft.AspNetCore.Http;

namespace Loom.Server.Tests.Etcd;

public sealed class CallersTests
{
    [TestCase("token", "abc.1", ExpectedResult = "abc.1")]
    [TestCase("authorization", "abc.1", ExpectedResult = "abc.1", Description = "as Patroni sends it to the gateway")]
    [TestCase("authorization", "Bearer abc.1", ExpectedResult = "abc.1")]
    [TestCase("token", "Bearer abc.1", ExpectedResult = "abc.1")]
    [TestCase("token", "", ExpectedResult = "", Description = "an empty token is one, and a wrong one")]
    [TestCase("cookie", "abc.1", ExpectedResult = null)]
    public string? The_token_of_a_call(string header, string value) => Callers.TokenOf(new HeaderDictionary { [header] = value });

    [TestCase("ann", ExpectedResult = "\"ann\"")]
    [TestCase("a\nb\u001b[31m", ExpectedResult = "\"a?b??31m\"")]
    public string What_is_written_of_who_guesses(string user) => RefusedLogins.Plain(user);

    [Test]
    public void Of_two_the_one_of_gRPC_counts() =>
        Assert.That(Callers.TokenOf(new HeaderDictionary { ["authorization"] = "Bearer b.2", ["token"] = "a.1" }), Is.EqualTo("a.1"));
}
