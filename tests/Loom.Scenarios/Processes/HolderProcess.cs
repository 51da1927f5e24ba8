using System.Globalization;

namespace Loom.Scenarios.Processes;

/// <summary>A real process of <see cref="HolderProgram"/>.</summary>
internal sealed class HolderProcess(string name, string directory, int[] ports, int timeToLiveSeconds, bool isFenced) : IDisposable
{
    private readonly WatchedProcess process = new();

    public string Name => name;

    public IReadOnlyList<string> Lines => process.Lines;

    public void Start() => process.Start(
        "dotnet", typeof(HolderProgram).Assembly.Location, "holder", name, directory, string.Join(',', ports), timeToLiveSeconds.ToString(CultureInfo.InvariantCulture), isFenced ? "fenced" : "plain");

    public void Pause() => process.Pause();

    public void Resume() => process.Resume();

    public void Say(string command) => process.Say(command);

    /// <summary>The end of its input: it gives the lock back and closes its member.</summary>
    public Task EndAsync() => process.EndInputAsync();

    /// <summary>kill -9.</summary>
    public void Kill() => process.Kill();

    public void Dispose() => process.Dispose();
}
