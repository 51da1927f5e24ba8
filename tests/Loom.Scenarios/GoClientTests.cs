using System.Diagnostics;
using Loom.Scenarios.Processes;
using Loom.Testing;
using NUnit.Framework;

namespace Loom.Scenarios;

/// <summary>
/// etcd's own Go client against three members: its recipes, and the way in which Kubernetes' API server uses it (tests/interop/clientv3, which etcd passes as well). Built with Debian's
/// golang-go and golang-etcd-server-dev; skipped without them, a failure without them under LOOM_REQUIRE_INTEROP=1.
/// </summary>
[NonParallelizable]
public sealed class GoClientTests
{
    private const string Library = "/usr/share/gocode/src/go.etcd.io/etcd/clientv3";

    [Test]
    public async Task Go_s_recipes_and_kubernetes_calls_work_unchanged()
    {
        TestRun.RequireTime();
        RequireGo();
        string root = Directory.CreateTempSubdirectory("loom-go-").FullName;
        try
        {
            string program = Path.Combine(root, "clientv3");
            (int built, string words) = await RunAsync("go", root, "build", "-o", program, Path.Combine(TestRun.Repository, "tests", "interop", "clientv3", "main.go"));
            Assert.That(built, Is.Zero, words);
            using LoomCluster cluster = await LoomCluster.StartThreeAsync(Path.Combine(root, "data"));
            (int failures, string checks) = await RunAsync(program, root, string.Join(',', cluster.Nodes.Select(node => node.Endpoint)));
            TestContext.Out.WriteLine(checks);
            Assert.That(failures, Is.Zero, checks);
            Assert.That(checks.Split('\n').Count(line => line.StartsWith("ok ", StringComparison.Ordinal)), Is.EqualTo(15), checks);
        }
        finally
        {
            Directory.Delete(root, recursive: true);
        }
    }

    private static void RequireGo()
    {
        if (!File.Exists("/usr/bin/go") || !Directory.Exists(Library))
        {
            TestRun.Lack("etcd's Go client is not installed (apt-get install golang-go golang-etcd-server-dev)");
        }
    }

    private static async Task<(int ExitCode, string Output)> RunAsync(string program, string root, params string[] arguments)
    {
        var start = new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true };
        start.Environment["GO111MODULE"] = "off";
        start.Environment["GOPATH"] = "/usr/share/gocode";
        start.Environment["GOCACHE"] = Path.Combine(root, "cache");
        using Process process = Process.Start(start)!;
        Task<string> output = process.StandardOutput.ReadToEndAsync(), error = process.StandardError.ReadToEndAsync();
        using var limit = new CancellationTokenSource(TimeSpan.FromMinutes(4));
        await process.WaitForExitAsync(limit.Token);
        return (process.ExitCode, await output + await error);
    }
}
