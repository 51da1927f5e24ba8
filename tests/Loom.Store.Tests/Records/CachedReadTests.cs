using Loom.Store.Records;
using Microsoft.Win32.SafeHandles;
using NUnit.Framework;

namespace Loom.Store.Tests.Records;

public sealed class CachedReadTests
{
    private string path = null!;

    [SetUp]
    public void Create() => path = Path.GetTempFileName();

    [TearDown]
    public void Delete() => File.Delete(path);

    /// <summary>What was just written is in the page cache: it is read without asking a thread.</summary>
    [Test]
    public void What_the_kernel_holds_is_read_at_once()
    {
        byte[] bytes = [.. Enumerable.Range(0, 10_000).Select(i => (byte)(i * 7))];
        File.WriteAllBytes(path, bytes);
        using SafeFileHandle file = File.OpenHandle(path);
        byte[] read = new byte[1000];
        Assert.That(TryRead(file, 3000, read), "this kernel and file system answer from the page cache");
        Assert.That(read, Is.EqualTo(bytes[3000..4000]));
    }

    /// <summary>A read that is not whole is left to the threads, which know what the end of the file means.</summary>
    [Test]
    public void What_reaches_beyond_the_end_is_not()
    {
        File.WriteAllBytes(path, new byte[1000]);
        using SafeFileHandle file = File.OpenHandle(path);
        Assert.That(TryRead(file, 900, new byte[200]), Is.False);
        Assert.That(TryRead(file, 900, new byte[100]), "and the reads after it are as before");
    }

    private static unsafe bool TryRead(SafeFileHandle file, long at, byte[] target)
    {
        fixed (byte* start = target)
        {
            return CachedRead.TryRead(file, at, (IntPtr)start, target.Length);
        }
    }
}
