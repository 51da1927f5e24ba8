using NUnit.Framework;

namespace Loom.Raft.Tests.Consensus;

/// <summary>
/// Every file of Transcripts/ says what the core does, step by step; read them as a manual. LOOM_REWRITE=1 writes the answers of today into them: read the difference.
/// </summary>
[TestFixture]
public sealed class TranscriptTests
{
    private static string Folder([System.Runtime.CompilerServices.CallerFilePath] string file = "") => Path.Combine(Path.GetDirectoryName(file)!, "Transcripts");

    public static IEnumerable<string> Names() => Directory.GetFiles(Folder(), "*.txt").Select(f => Path.GetFileNameWithoutExtension(f)!).Order(StringComparer.Ordinal);

    [TestCaseSource(nameof(Names))]
    public void The_core_does_what_the_transcript_says(string name)
    {
        string path = Path.Combine(Folder(), name + ".txt");
        string expected = File.ReadAllText(path);
        string actual = new Transcript().Replay(expected);
        if (Environment.GetEnvironmentVariable("LOOM_REWRITE") == "1")
        {
            File.WriteAllText(path, actual);
            return;
        }

        Assert.That(actual, Is.EqualTo(expected));
    }
}
