using Loom.Server.Etcd;
using Loom.Server.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

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

    /// <summary>Who guesses passwords must not fill the disk.</summary>
    [Test]
    public void A_thousand_guesses_are_one_line()
    {
        var lines = new Lines();
        var refused = new RefusedLogins(lines);
        for (int i = 0; i < 1000; i++)
        {
            refused.Add("root", "ipv4:10.0.0.1:99");
        }

        Assert.That(lines.Written, Is.EqualTo((string[])["Refused 1 logins since the last such line; now one as \"root\" from ipv4:10.0.0.1:99"]));
    }

    [Test]
    public void A_line_comes_again_after_ten_seconds()
    {
        var line = new SeldomLine();
        Assert.That(new long[] { 5, 6, 10_004, 10_005, 10_006 }.Select(line.TryTake), Is.EqualTo((bool[])[true, false, false, true, false]));
    }

    private sealed class Lines : ILogger<RefusedLogins>
    {
        public List<string> Written { get; } = [];

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) => Written.Add(formatter(state, exception));
    }
}
