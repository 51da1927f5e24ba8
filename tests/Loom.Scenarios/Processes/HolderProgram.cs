using System.Globalization;
using System.Text;
using Loom.Raft;
using Loom.Raft.Membership;
using Loom.Store;
using Loom.Store.Collections;

namespace Loom.Scenarios.Processes;

/// <summary>
/// A program with a member of the store in it, as an application has: it takes the lock, writes as long as it believes to hold it, and begins again. It looks whether it holds it
/// before it writes, not while: a stop may fall in between. Lines of its input are commands; when the input ends, so does it.
/// </summary>
internal static class HolderProgram
{
    public const string LockName = "scenario/lock";
    public const string GuardedKey = "scenario/guarded";

    public static async Task<int> Main(string[] arguments)
    {
        if (arguments is not ["holder", string name, string directory, string ports, string seconds, string fenced])
        {
            await Console.Error.WriteLineAsync("This is a test program: dotnet test tests/Loom.Scenarios.");
            return 2;
        }

        await using LoomStore store = await LoomStore.OpenAsync(Options(name, directory, [.. ports.Split(',').Select(port => int.Parse(port, CultureInfo.InvariantCulture))]));
        using var stop = new CancellationTokenSource();
        Task holding = HoldAsync(store, name, TimeSpan.FromSeconds(int.Parse(seconds, CultureInfo.InvariantCulture)), isFenced: fenced == "fenced", stop.Token);
        while (await Console.In.ReadLineAsync(CancellationToken.None) is { } command)
        {
            if (command == "transfer" && store.Status.Raft.Role == "leader")
            {
                await store.TransferLeadershipAsync();
                await Console.Out.WriteLineAsync("transferred");
            }
        }

        await stop.CancelAsync();
        await holding;
        return 0;
    }

    /// <summary>Three voters, and an observer in the test's own process.</summary>
    public static LoomOptions Options(string name, string directory, int[] ports) => new()
    {
        Name = name,
        DataDirectory = directory,
        InitialCluster =
        [
            .. ports[..^1].Select((port, i) => new InitialMember($"holder{i}", $"dc{i}", MemberRole.Voter, [Url(port)])),
            new InitialMember("observer", "dc0", MemberRole.Standby, [Url(ports[^1])]),
        ],
    };

    private static string Url(int port) => string.Create(CultureInfo.InvariantCulture, $"http://127.0.0.1:{port}");

    private static async Task HoldAsync(LoomStore store, string name, TimeSpan timeToLive, bool isFenced, CancellationToken stop)
    {
        LoomLock scenario = new(store, LockName, new LoomLockOptions { TimeToLive = timeToLive });
        while (!stop.IsCancellationRequested)
        {
            try
            {
                await using LoomHold hold = await scenario.AcquireAsync(stop);
                await Console.Out.WriteLineAsync($"held {hold.Token}");
                await WriteAsync(store, hold, name, isFenced, stop);
                await Console.Out.WriteLineAsync($"lost {hold.Token}: {hold.LostReason}");
            }
            catch (FenceLostException exception)
            {
                await Console.Out.WriteLineAsync($"refused {exception.Token}: {exception.Code} {exception.Outcome}");
            }
            catch (LoomException exception)
            {
                await Console.Out.WriteLineAsync($"failed: {exception.Message}");
            }
            catch (OperationCanceledException)
            {
            }
        }
    }

    private static async Task WriteAsync(LoomStore store, LoomHold hold, string name, bool isFenced, CancellationToken stop)
    {
        byte[] key = Encoding.UTF8.GetBytes(GuardedKey);
        bool believes = true;
        for (int i = 0; believes && !stop.IsCancellationRequested; i++)
        {
            // One write more than it believes to be allowed to: what a stop between the look and the write comes to, which nobody outside can time.
            believes = !hold.Lost.IsCancellationRequested;
            await Task.Delay(20, CancellationToken.None);
            byte[] value = Encoding.UTF8.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{hold.Token.Revision} {name} {i}"));
            while (!await TryWriteAsync(store, hold, key, value, isFenced, stop) && !stop.IsCancellationRequested)
            {
                // It has made up its mind to write, and insists.
            }
        }
    }

    private static async Task<bool> TryWriteAsync(LoomStore store, LoomHold hold, byte[] key, byte[] value, bool isFenced, CancellationToken stop)
    {
        try
        {
            _ = isFenced ? await hold.Store.PutAsync(key, value, cancellationToken: stop) : await store.PutAsync(key, value, cancellationToken: stop);
            return true;
        }
        catch (LoomException exception) when (exception is not FenceLostException)
        {
            // No quorum for a moment, a change of leader: whether the hold is over is not for this to say.
            await Console.Out.WriteLineAsync($"not written: {exception.Message}");
            await Task.Delay(50, CancellationToken.None);
            return false;
        }
    }
}
