using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;
using Loom.Server.Tests.Cli;
using Loom.Server.Tests.Hosting;

namespace Loom.Server.Tests.Etcd;

/// <summary>Users and roles set up and used by etcdctl, and by our own command line and the JSON gateway beside it.</summary>
[TestFixture]
internal sealed class EtcdctlAuthTests
{
    private TestNode node = null!;

    [SetUp]
    public async Task StartAsync() => node = await TestNode.StartAsync(options: new Loom.Store.LoomOptions { PasswordCost = 4 });

    [TearDown]
    public async Task StopAsync() => await node.DisposeAsync();

    [Test]
    public void Etcdctl_sets_up_users_and_works_as_them()
    {
        Interop.Require("etcdctl");
        Assert.That(Ctl("user", "add", "root:pr"), Does.Contain("User root created"));
        Assert.That(Ctl("user", "add", "ann:pa"), Does.Contain("User ann created"));
        Assert.That(Ctl("user", "add", "bob", "--no-password"), Does.Contain("User bob created"));
        Assert.That(Ctl("role", "add", "team"), Does.Contain("Role team created"));
        Assert.That(Ctl("role", "grant-permission", "team", "readwrite", "team/", "--prefix"), Does.Contain("Role team updated"));
        Assert.That(Ctl("role", "grant-permission", "team", "read", "shared"), Does.Contain("Role team updated"));
        Assert.That(Ctl("role", "get", "team"), Does.Contain("team/").And.Contain("shared"));
        Assert.That(Ctl("user", "grant-role", "ann", "team"), Does.Contain("Role team is granted to user ann"));
        Assert.That(Ctl("user", "grant-role", "root", "root"), Does.Contain("Role root is granted to user root"));
        Assert.That(Ctl("user", "list"), Is.EqualTo("ann\nbob\nroot\n"));
        Assert.That(Ctl("put", "shared", "1"), Is.EqualTo("OK\n"));
        Assert.That(Ctl("auth", "enable"), Does.Contain("Authentication Enabled"));

        Assert.That(Fails("get", "shared"), Does.Contain("etcdserver: user name is empty"));
        Assert.That(Fails("--user", "ann:wrong", "get", "shared"), Does.Contain("etcdserver: authentication failed, invalid user ID or password"));
        Assert.That(As("ann:pa", "get", "shared"), Is.EqualTo("shared\n1\n"));
        Assert.That(As("ann:pa", "put", "team/a", "1"), Is.EqualTo("OK\n"));
        Assert.That(As("ann:pa", "get", "team/", "--prefix"), Is.EqualTo("team/a\n1\n"));
        Assert.That(Fails("--user", "ann:pa", "put", "shared", "2"), Does.Contain("etcdserver: permission denied"));
        Assert.That(Fails("--user", "ann:pa", "get", "", "--prefix"), Does.Contain("etcdserver: permission denied"));
        Assert.That(Fails("--user", "ann:pa", "user", "list"), Does.Contain("etcdserver: permission denied"));
        Assert.That(As("ann:pa", "user", "get", "ann"), Does.Contain("Roles: team"));
        Assert.That(As("ann:pa", "endpoint", "health"), Does.Contain("is healthy"));
        Assert.That(As("ann:pa", "endpoint", "status"), Does.Contain(", 3.5."));
        string lease = As("ann:pa", "lease", "grant", "60").Split(' ')[1];
        Assert.That(As("ann:pa", "put", "team/l", "1", $"--lease={lease}"), Is.EqualTo("OK\n"));
        Assert.That(As("ann:pa", "lease", "keep-alive", "--once", lease), Does.Contain("keepalived with TTL(60)"));
        Assert.That(As("ann:pa", "lease", "revoke", lease), Does.Contain("revoked"));

        Assert.That(As("root:pr", "role", "revoke-permission", "team", "shared"), Does.Contain("Permission of key shared is revoked from role team"));
        Assert.That(Fails("--user", "ann:pa", "get", "shared"), Does.Contain("etcdserver: permission denied"));
        Assert.That(Fails("--user", "root:pr", "user", "delete", "root"), Does.Contain("etcdserver: invalid auth management"));
        Assert.That(As("root:pr", "user", "delete", "ann"), Does.Contain("User ann deleted"));
        Assert.That(Fails("--user", "ann:pa", "get", "team/a"), Does.Contain("etcdserver: authentication failed, invalid user ID or password"));
        Assert.That(As("root:pr", "snapshot", "save", Path.Combine(Path.GetTempPath(), Path.GetRandomFileName())), Does.Contain("Snapshot saved"));
        Assert.That(As("root:pr", "auth", "disable"), Does.Contain("Authentication Disabled"));
        Assert.That(Ctl("get", "shared"), Is.EqualTo("shared\n1\n"));
    }

    /// <summary>Go's client keeps its watch while it writes as the same user; both end with the user's rights.</summary>
    [Test]
    public async Task Etcdctl_watches_what_its_user_may()
    {
        Interop.Require("etcdctl");
        await SetUpAsync();
        using FollowedProgram watch = new("etcdctl", ["--endpoints", node.Endpoint, "--user", "ann:pa", "watch", "team/", "--prefix", "--rev=1"]);
        Assert.That(As("ann:pa", "put", "team/w", "x"), Is.EqualTo("OK\n"));
        const string Expected = "PUT\nteam/w\nx\n";
        Assert.That(await watch.ReadAsync(Expected.Length), Is.EqualTo(Expected));
        Assert.That(Fails("--user", "ann:pa", "watch", "other"), Does.Contain("etcdserver: permission denied"));
    }

    [Test]
    public async Task The_command_line_logs_in()
    {
        await SetUpAsync();
        Assert.That((await CommandRun.OfAsync("--endpoints", node.Endpoint, "get", "team/a")).Error, Does.Contain("LOOM1050"));
        Assert.That(await CommandRun.OfAsync("--endpoints", node.Endpoint, "--user", "ann:pa", "put", "team/a", "1"), Is.EqualTo(new CommandRun(0, "OK\t2\n", "")));
        Assert.That(await CommandRun.OfAsync("--endpoints", node.Endpoint, "--user", "ann", "--password", "pa", "get", "team/a"), Is.EqualTo(new CommandRun(0, "team/a\t1\n", "")));
        Assert.That((await CommandRun.OfAsync("--endpoints", node.Endpoint, "--user", "ann:pa", "get", "other")).Error, Does.Contain("LOOM1066"));
        Assert.That((await CommandRun.OfAsync("--endpoints", node.Endpoint, "--user", "ann:px", "put", "team/a", "1")).Error, Does.Contain("LOOM1053"));
        Assert.That((await CommandRun.OfAsync("--endpoints", node.Endpoint, "--user", "ann:pa", "status")).Code, Is.Zero);
        Assert.That((await CommandRun.OfAsync("--endpoints", node.Endpoint, "status")).Error, Does.Contain("LOOM1050"));
        Assert.That((await CommandRun.OfAsync("--endpoints", node.Endpoint, "--user", "ann", "get", "team/a")).Error, Does.Contain("no password is given for ann"));
        await node.Store.Auth.DisableAsync();
        Assert.That((await CommandRun.OfAsync("--endpoints", node.Endpoint, "--user", "ann:pa", "get", "team/a")).Output, Is.EqualTo("team/a\t1\n"), "who logs in where nobody asks is let in");
    }

    /// <summary>As Patroni does: the token in the authorization header, and again when it is none any more.</summary>
    [Test]
    public async Task The_gateway_takes_the_token_of_its_header()
    {
        await SetUpAsync();
        using var http = new HttpClient { BaseAddress = new Uri("http://" + node.Endpoint) };
        Assert.That(await PostAsync(http, "/v3/kv/range", new { key = Base64("team/a") }, null), Is.EqualTo((400, "etcdserver: user name is empty")));
        string token = (await PostAsync(http, "/v3/auth/authenticate", new { name = "ann", password = "pa" }, null)).Text;
        Assert.That((await PostAsync(http, "/v3/kv/put", new { key = Base64("team/a"), value = Base64("1") }, token)).Code, Is.EqualTo(200));
        Assert.That(await PostAsync(http, "/v3/kv/put", new { key = Base64("other"), value = Base64("1") }, token), Is.EqualTo((403, "etcdserver: permission denied")));
        await node.Store.Auth.ChangePasswordAsync("ann", "pa2");
        Assert.That(await PostAsync(http, "/v3/kv/range", new { key = Base64("team/a") }, token), Is.EqualTo((401, "etcdserver: invalid auth token")));
        Assert.That(await PostAsync(http, "/v3/auth/authenticate", new { name = "ann", password = "pa" }, null), Is.EqualTo((400, "etcdserver: authentication failed, invalid user ID or password")));
    }

    private async Task SetUpAsync()
    {
        Loom.Store.LoomAuth auth = node.Store.Auth;
        await auth.AddUserAsync("root", "pr");
        await auth.GrantRoleAsync("root", "root");
        await auth.AddUserAsync("ann", "pa");
        await auth.AddRoleAsync("team");
        await auth.GrantPermissionAsync("team", new(Loom.Store.Model.PermissionKind.ReadWrite, Loom.Store.Model.KeyRange.Prefix("team/")));
        await auth.GrantRoleAsync("ann", "team");
        await auth.EnableAsync();
    }

    /// <summary>The status, and of the answer the token or the error.</summary>
    private static async Task<(int Code, string Text)> PostAsync(HttpClient http, string path, object body, string? token)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, path) { Content = new StringContent(JsonSerializer.Serialize(body), Encoding.UTF8, "application/json") };
        if (token is not null)
        {
            request.Headers.Authorization = new AuthenticationHeaderValue(token);
        }

        using HttpResponseMessage response = await http.SendAsync(request);
        using JsonDocument answer = JsonDocument.Parse(await response.Content.ReadAsStringAsync());
        string text = answer.RootElement.TryGetProperty("token", out JsonElement found) || answer.RootElement.TryGetProperty("error", out found) ? found.GetString()! : "";
        return ((int)response.StatusCode, text);
    }

    private static string Base64(string text) => Convert.ToBase64String(Encoding.UTF8.GetBytes(text));

    private string Ctl(params string[] arguments) => Interop.Run("etcdctl", ["--endpoints", node.Endpoint, .. arguments]);

    private string As(string user, params string[] arguments) => Interop.Run("etcdctl", ["--endpoints", node.Endpoint, "--user", user, .. arguments]);

    private string Fails(params string[] arguments) => Interop.Run("etcdctl", ["--endpoints", node.Endpoint, .. arguments], mayFail: true);
}
