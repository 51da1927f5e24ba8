using System.Runtime.InteropServices;
using Loom.Store.Records;
using NUnit.Framework;

namespace Loom.Store.Tests.Records;

/// <summary>What a checkpoint names is on the disk (H15): the device knows which files to flush.</summary>
internal sealed class RecordDeviceTests
{
    private const int Page = 4 << 20;
    private string root = "";

    [SetUp]
    public void SetUp() => root = Directory.CreateTempSubdirectory("loom-device-").FullName;

    [TearDown]
    public void TearDown() => Directory.Delete(root, recursive: true);

    // Goal: a page that is being written while a checkpoint flushes the file is flushed by the next one. Method: the write waits in front of the disk until the first flush is done.
    [Test]
    public void A_page_that_is_written_during_a_flush_is_flushed_by_the_next()
    {
        using RecordDevice device = new(Path.Combine(root, "hlog.log"), new RecordStoreOptions { PageBytes = Page, SegmentBytes = Page }, new RecordFaults(null));
        device.Initialize(Page);
        IntPtr page = Marshal.AllocHGlobal(Page);
        using ManualResetEventSlim atTheDisk = new(), go = new(), written = new();
        int flushes = 0;
        device.BeforeFlush = () => flushes++;
        device.BeforeWrite = (_, _) =>
        {
            atTheDisk.Set();
            go.Wait();
        };
        device.WriteAsync(page, 0, 0, Page, (_, _, _) => written.Set(), null!);
        atTheDisk.Wait();
        device.Flush();
        go.Set();
        written.Wait();
        int before = flushes;
        device.Flush();
        Assert.That(flushes, Is.EqualTo(before + 1));
        device.Flush();
        Assert.That(flushes, Is.EqualTo(before + 1), "once is enough");
        Marshal.FreeHGlobal(page);
    }

    // What is written long before a checkpoint goes to the disk file by file; the current one and two more wait for it.
    [Test]
    public void A_long_way_without_a_checkpoint_is_flushed_behind()
    {
        using RecordDevice device = new(Path.Combine(root, "hlog.log"), new RecordStoreOptions { PageBytes = Page, SegmentBytes = Page }, new RecordFaults(null));
        device.Initialize(Page);
        IntPtr page = Marshal.AllocHGlobal(Page);
        int flushes = 0;
        device.BeforeFlush = () => Interlocked.Increment(ref flushes);
        for (int segment = 0; segment < 10; segment++)
        {
            using ManualResetEventSlim written = new();
            device.WriteAsync(page, segment, 0, Page, (_, _, _) => written.Set(), null!);
            written.Wait();
        }

        Assert.That(flushes, Is.EqualTo(7));
        device.Flush();
        Assert.That(flushes, Is.EqualTo(10));
        Marshal.FreeHGlobal(page);
    }

    [Test]
    public void A_flush_behind_that_fails_ends_the_store_before_a_checkpoint_could_pass()
    {
        RecordFaults faults = new(null);
        using RecordDevice device = new(Path.Combine(root, "hlog.log"), new RecordStoreOptions { PageBytes = Page, SegmentBytes = Page }, faults);
        device.Initialize(Page);
        IntPtr page = Marshal.AllocHGlobal(Page);
        device.BeforeFlush = () => throw new IOException("Input/output error", 5);
        for (int segment = 0; segment < 4; segment++)
        {
            using ManualResetEventSlim written = new();
            device.WriteAsync(page, segment, 0, Page, (_, _, _) => written.Set(), null!);
            written.Wait();
        }

        Assert.That(faults.Any);
        Marshal.FreeHGlobal(page);
    }
}
