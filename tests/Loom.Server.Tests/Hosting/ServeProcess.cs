using System.Diagnostics;
using System.Text;

namespace Loom.Server.Tests.Hosting;

/// <summary>A real <c>loom serve</c> process with an environment of its own. Killed with the test if it still runs.</summary>
internal sealed class ServeProcess : IDisposable
{
    private readonly Process process;
    private readonly StringBuilder error = new();
    private readonly TaskCompletionSource ready = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public ServeProcess(string workingDirectory, IReadOnlyList<string> arguments, IReadOnlyDictionary<string, string>? environment = null)
    {
        var start = new ProcessStartInfo("dotnet")
        {
            RedirectStandardError = true, RedirectStandardOutput = true, RedirectStandardInput = true, WorkingDirectory = workingDirectory,
        };
        start.ArgumentList.Add(Path.Combine(AppContext.BaseDirectory, "loom.dll"));
        start.ArgumentList.Add("serve");
        foreach (string argument in arguments)
        {
            start.ArgumentList.Add(argument);
        }

        foreach (string name in start.Environment.Keys.Where(k => k.StartsWith("LOOM_", StringComparison.Ordinal) || k.StartsWith("ETCD_", StringComparison.Ordinal)).ToArray())
        {
            start.Environment.Remove(name);
        }

        foreach ((string name, string value) in environment ?? new Dictionary<string, string>())
        {
            start.Environment[name] = value;
        }

        process = new Process { StartInfo = start, EnableRaisingEvents = true };
        process.ErrorDataReceived += (_, line) => Remember(line.Data);
        process.Exited += (_, _) => ready.TrySetException(new InvalidOperationException("the process ended before it was ready"));
        process.Start();
        process.BeginErrorReadLine();
        process.BeginOutputReadLine();
    }

    /// <summary>A shell without job control starts what it puts into the background with SIGINT ignored, and children inherit that: they rightly do not end by it.</summary>
    public static bool InterruptIsIgnored =>
        File.ReadLines("/proc/self/status").FirstOrDefault(l => l.StartsWith("SigIgn:", StringComparison.Ordinal)) is { } line
        && (Convert.ToUInt64(line["SigIgn:".Length..].Trim(), 16) & 2) != 0;

    public string Error
    {
        get
        {
            lock (error)
            {
                return error.ToString();
            }
        }
    }

    public async Task WaitUntilReadyAsync()
    {
        try
        {
            await ready.Task.WaitAsync(TimeSpan.FromSeconds(40));
        }
        catch (Exception exception) when (exception is InvalidOperationException or TimeoutException)
        {
            Assert.Fail($"{exception.Message}: {Error}");
        }
    }

    public void Signal(string name) => Interop.Run("kill", ["-" + name, process.Id.ToString(System.Globalization.CultureInfo.InvariantCulture)]);

    public void CloseInput() => process.StandardInput.Close();

    public async Task<int> WaitForExitAsync(TimeSpan limit)
    {
        using var time = new CancellationTokenSource(limit);
        try
        {
            await process.WaitForExitAsync(time.Token);
        }
        catch (OperationCanceledException)
        {
            Assert.Fail($"the process did not end within {limit.TotalSeconds} s: {Error}");
        }

        return process.ExitCode;
    }

    public void Dispose()
    {
        ready.Task.ContinueWith(t => t.Exception, TaskScheduler.Default);
        if (!process.HasExited)
        {
            process.Kill();
            process.WaitForExit();
        }

        process.Dispose();
    }

    private void Remember(string? line)
    {
        if (line is null)
        {
            return;
        }

        lock (error)
        {
            error.Append(line).Append('\n');
        }

        if (line.Contains("ready:", StringComparison.Ordinal))
        {
            ready.TrySetResult();
        }
    }
}
