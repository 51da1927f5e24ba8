using System.Diagnostics;

namespace Loom.Server.Tests;

/// <summary>A program that goes on until it is ended, such as <c>etcdctl watch</c>.</summary>
internal sealed class FollowedProgram : IDisposable
{
    private readonly Process process;

    public FollowedProgram(string program, IReadOnlyList<string> arguments)
    {
        var start = new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true };
        start.Environment["ETCDCTL_API"] = "3";
        process = Process.Start(start)!;
    }

    /// <summary>So many characters, or what came of them in 20 s.</summary>
    public async Task<string> ReadAsync(int length)
    {
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(20));
        char[] text = new char[length];
        int read = 0;
        try
        {
            while (read < length && await process.StandardOutput.ReadAsync(text.AsMemory(read), limit.Token) is > 0 and int more)
            {
                read += more;
            }
        }
        catch (OperationCanceledException)
        {
            // What came is what is compared.
        }

        return new string(text, 0, read);
    }

    public void Dispose()
    {
        process.Kill();
        process.WaitForExit();
        process.Dispose();
    }
}
