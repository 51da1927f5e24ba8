using System.Diagnostics;
using Loom.Testing;

namespace Loom.Server.Tests;

/// <summary>
/// Programs that tests compare with or that are clients: etcd, etcdctl, Python's clients. Where one is absent the test is skipped with the reason; with LOOM_REQUIRE_INTEROP=1 (CI) it fails.
/// </summary>
internal static class Interop
{
    public static string Require(string program, string packages = "etcd-server etcd-client")
    {
        string? path = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':').Select(d => Path.Combine(d, program)).FirstOrDefault(File.Exists);
        if (path is not null)
        {
            return path;
        }

        return Missing($"{program} is not installed (apt-get install {packages})");
    }

    /// <summary>Debian's own Python, whose modules are Debian's packages; another one may come first in the path.</summary>
    public static string RequirePython(string module, string package)
    {
        const string Python = "/usr/bin/python3";
        if (!File.Exists(Python))
        {
            return Missing($"{Python} is not installed (apt-get install {package})");
        }

        using Process import = Process.Start(new ProcessStartInfo(Python, ["-W", "ignore", "-c", $"import {module}"]) { RedirectStandardError = true })!;
        import.StandardError.ReadToEnd();
        import.WaitForExit();
        return import.ExitCode == 0 ? Python : Missing($"Python's module {module} is not installed (apt-get install {package})");
    }

    private static string Missing(string reason)
    {
        TestRun.Lack(reason);
        return "";
    }

    /// <summary>Runs it to its end; gives standard output and error, in this order. Fails on a non-zero exit code unless told otherwise.</summary>
    public static string Run(string program, IReadOnlyList<string> arguments, string? input = null, bool mayFail = false)
    {
        var start = new ProcessStartInfo(Require(program)) { RedirectStandardOutput = true, RedirectStandardError = true, RedirectStandardInput = true };
        foreach (string argument in arguments)
        {
            start.ArgumentList.Add(argument);
        }

        start.Environment["ETCDCTL_API"] = "3";
        using Process process = Process.Start(start)!;
        Task<string> error = process.StandardError.ReadToEndAsync();
        if (input is not null)
        {
            process.StandardInput.Write(input);
        }

        process.StandardInput.Close();
        string output = process.StandardOutput.ReadToEnd();
        if (!process.WaitForExit(30_000))
        {
            process.Kill();
            Assert.Fail($"{program} {string.Join(' ', arguments)} did not end within 30 s");
        }

        output += error.GetAwaiter().GetResult();
        if (!mayFail && process.ExitCode != 0)
        {
            Assert.Fail($"{program} {string.Join(' ', arguments)} ended with {process.ExitCode}: {output}");
        }

        return output;
    }
}
