using NUnit.Framework;

namespace Loom.Store.Tests.Transcripts;

/// <summary>
/// Each text file beside this one is a manual page and a test: it drives the machine and records its answers.
/// LOOM_REWRITE=DIRECTORY writes the answers of today into that directory (this one); then read the difference before you commit it.
/// </summary>
internal sealed class TranscriptTests
{
    private static IEnumerable<string> Files() =>
        Directory.EnumerateFiles(Folder, "*.txt").Select(file => Path.GetFileNameWithoutExtension(file)).Order(StringComparer.Ordinal);

    [TestCaseSource(nameof(Files))]
    public void The_machine_answers_as_the_transcript_says(string name)
    {
        string expected = File.ReadAllText(Path.Combine(Folder, name + ".txt"));
        using var transcript = new Transcript();
        string actual = transcript.Replay(expected);
        if (Environment.GetEnvironmentVariable("LOOM_REWRITE") is { Length: > 0 } directory)
        {
            File.WriteAllText(Path.Combine(directory, name + ".txt"), actual);
        }
        else
        {
            Assert.That(actual, Is.EqualTo(expected));
        }
    }

    [Test]
    public void There_are_transcripts() => Assert.That(Files(), Is.Not.Empty);

    private static string Folder => Path.Combine(AppContext.BaseDirectory, "Transcripts");
}
