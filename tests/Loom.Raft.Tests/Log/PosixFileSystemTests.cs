using Loom.Raft.Log;
using NUnit.Framework;

namespace Loom.Raft.Tests.Log;

/// <summary>What the machine's own files say about space (S6).</summary>
public sealed class PosixFileSystemTests
{
    [Test]
    public void A_full_disk_has_an_exception_of_its_own()
    {
        if (!File.Exists("/dev/full"))
        {
            Assert.Ignore("there is no /dev/full here");
        }

        using IFile full = PosixFileSystem.Instance.Open("/dev/full", create: false);
        Assert.That(() => full.Write(0, new byte[10]), Throws.TypeOf<NoSpaceException>().With.Message.Contains("/dev/full"));
    }

    [Test]
    public void Allocating_takes_the_space_and_keeps_what_is_there()
    {
        string path = Path.Combine(Path.GetTempPath(), "loom-allocate-" + Guid.NewGuid().ToString("N"));
        try
        {
            using IFile file = PosixFileSystem.Instance.Open(path, create: true);
            file.Write(0, "abc"u8);
            file.Allocate(1 << 20);
            byte[] bytes = new byte[4];
            Assert.That((file.Length, file.Read(0, bytes)), Is.EqualTo((1L << 20, 4)));
            Assert.That(bytes, Is.EqualTo("abc\0"u8.ToArray()));
            file.Allocate(10);
            Assert.That(file.Length, Is.EqualTo(1L << 20), "it never gets shorter");
            Assert.That(() => file.Allocate(1L << 43), Throws.InstanceOf<IOException>(), "8 TiB are not there");
            Assert.That(file.Length, Is.EqualTo(1L << 20));
        }
        finally
        {
            File.Delete(path);
        }
    }
}
