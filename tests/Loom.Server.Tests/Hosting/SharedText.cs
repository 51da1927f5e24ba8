namespace Loom.Server.Tests.Hosting;

/// <summary>Text that nodes write while the test reads it: a synchronized writer locks itself.</summary>
internal sealed class SharedText
{
    private readonly StringWriter text = new();

    public SharedText() => Writer = TextWriter.Synchronized(text);

    public TextWriter Writer { get; }

    public string Read()
    {
        lock (Writer)
        {
            return text.ToString();
        }
    }
}
