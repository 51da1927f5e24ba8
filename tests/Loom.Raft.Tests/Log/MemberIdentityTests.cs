using Loom.Raft.Consensus;
using Loom.Raft.Host;
using Loom.Raft.Log;
using Loom.Raft.Membership;
using Loom.Simulation.Disk;
using NUnit.Framework;

namespace Loom.Raft.Tests.Log;

[TestFixture]
internal sealed partial class MemberIdentityTests
{
    private static readonly MemberIdentity Identity = new(new MemberId(0xA1), 0xDEAD, "east1", "loom-cluster", 0, 0);

    [Test]
    public void An_identity_is_read_as_it_was_written()
    {
        var disk = new SimulatedDisk(1);
        disk.CreateDirectory("m");
        Assert.That(MemberIdentity.Read(disk, "m"), Is.Null);
        Identity.Write(disk, "m");
        MemberIdentity formed = Identity with { ClusterId = 5, ConfigurationHash = 6 };
        Assert.That(MemberIdentity.Read(disk, "m"), Is.EqualTo(Identity));
        formed.Write(disk, "m");
        disk.PowerCut();
        Assert.That(MemberIdentity.Read(disk, "m"), Is.EqualTo(formed));
        Assert.That((Identity.IsFormed, formed.IsFormed), Is.EqualTo((false, true)));
    }

    /// <summary>Directories of before the origin.</summary>
    [Test]
    public void An_identity_of_version_1_is_read_without_an_origin()
    {
        var disk = new SimulatedDisk(1);
        disk.CreateDirectory("m");
        MemberIdentity restored = Identity with { Origin = 9 };
        restored.Write(disk, "m");
        Assert.That(MemberIdentity.Read(disk, "m"), Is.EqualTo(restored));
        byte[] older = disk.ReadAll("m/cluster")[..^8];
        (older[4], older[6]) = (1, (byte)(older.Length - 12));
        BitConverter.TryWriteBytes(older.AsSpan(8), SmallFile.Checksum(older));
        SmallFile.Replace(disk, "m", "cluster", older);
        Assert.That(MemberIdentity.Read(disk, "m"), Is.EqualTo(Identity));
    }

    [Test]
    public void Every_flipped_bit_and_every_cut_is_refused()
    {
        var disk = new SimulatedDisk(1);
        disk.CreateDirectory("m");
        Identity.Write(disk, "m");
        int length = disk.ReadAll("m/cluster").Length;
        for (int at = 0; at < length; at++)
        {
            for (int bit = 0; bit < 8; bit++)
            {
                SimulatedDisk damaged = disk.Clone(1);
                damaged.FlipBit("m/cluster", at, bit);
                Assert.Throws<CorruptionException>(() => MemberIdentity.Read(damaged, "m"), $"{at}.{bit}");
            }

            SimulatedDisk cut = disk.Clone(1);
            cut.Cut("m/cluster", at);
            Assert.Throws<CorruptionException>(() => MemberIdentity.Read(cut, "m"), $"cut at {at}");
        }
    }

    [Test]
    public void A_crash_leaves_the_old_identity_or_the_new_one()
    {
        MemberIdentity formed = Identity with { ClusterId = 5, ConfigurationHash = 6 };
        bool old = false, made = false;
        for (ulong seed = 0; seed < 60; seed++)
        {
            var disk = new SimulatedDisk(seed);
            disk.CreateDirectory("m");
            Identity.Write(disk, "m");
            disk.CrashAfter((long)(seed % 6));
            bool durable = false;
            try
            {
                formed.Write(disk, "m");
                durable = true;
            }
            catch (SimulatedCrashException)
            {
            }

            disk.PowerCut();
            MemberIdentity? found = MemberIdentity.Read(disk, "m");
            Assert.That(found, durable ? Is.EqualTo(formed) : Is.EqualTo(formed).Or.EqualTo(Identity), $"seed {seed}");
            old |= found == Identity;
            made |= found == formed;
        }

        Assert.That(old && made, "both were met");
    }

    [Test]
    public void An_error_of_the_disk_is_not_swallowed([Values(DiskOperation.Write, DiskOperation.Flush, DiskOperation.Rename, DiskOperation.FlushDirectory)] object operation)
    {
        var disk = new SimulatedDisk(1);
        disk.CreateDirectory("m");
        disk.Fault = (asked, _) =>
        {
            if (asked == (DiskOperation)operation)
                throw new IOException("Input/output error (errno 5)");
        };
        Assert.Throws<IOException>(() => Identity.Write(disk, "m"));
    }

    [Test]
    public void Another_token_is_refused_with_both_tokens_named()
    {
        RaftException refused = Assert.Throws<RaftException>(() => Identity.RequireToken("data", "other"))!;
        Assert.That(refused.Message, Does.Contain("\"loom-cluster\", not \"other\""));
        Assert.DoesNotThrow(() => Identity.RequireToken("data", "loom-cluster"));
    }

    [Test]
    public void A_directory_is_used_by_one_process_at_a_time()
    {
        string directory = Path.Combine(Path.GetTempPath(), "loom-lock-" + Guid.NewGuid().ToString("N"));
        try
        {
            using (DirectoryLock.Acquire(directory))
            {
                RaftException refused = Assert.Throws<RaftException>(() => DirectoryLock.Acquire(directory).Dispose())!;
                Assert.That(refused.Message, Does.Contain("already in use by another process"));
            }

            DirectoryLock.Acquire(directory).Dispose();
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    /// <summary>Method: a copy of the lock's descriptor stays open, as in a process that is just being started by another thread.</summary>
    [Test]
    public void A_lock_that_is_given_back_stays_with_no_process_that_was_being_started()
    {
        string directory = Directory.CreateTempSubdirectory("loom-lock-").FullName;
        int copy = -1;
        try
        {
            using (DirectoryLock.Acquire(directory))
            {
                string link = Directory.GetFiles("/proc/self/fd").First(fd => File.ResolveLinkTarget(fd, returnFinalTarget: false)?.FullName == Path.Combine(directory, "lock"));
                copy = Duplicate(int.Parse(Path.GetFileName(link), System.Globalization.CultureInfo.InvariantCulture));
                Assert.That(copy, Is.GreaterThan(0));
            }

            DirectoryLock.Acquire(directory).Dispose();
        }
        finally
        {
            _ = Close(copy);
            Directory.Delete(directory, recursive: true);
        }
    }

    [Test]
    public void A_flush_that_fails_throws_with_file_and_errno()
    {
        // The kernel refuses to flush /dev/null (EINVAL); .NET's own flush would say nothing (L1).
        using IFile file = PosixFileSystem.Instance.Open("/dev/null", create: false);
        IOException refused = Assert.Throws<IOException>(file.Flush)!;
        Assert.That(refused.Message, Does.Contain("/dev/null").And.Contain("errno 22"));
        Assert.That(Assert.Throws<IOException>(() => PosixFileSystem.Instance.FlushDirectory("/no/such/directory"))!.Message, Does.Contain("errno 2"));
    }

    [Test]
    public void The_clock_moves_forward_in_nanoseconds()
    {
        long before = MonotonicClock.Nanoseconds;
        Thread.Sleep(5);
        Assert.That(MonotonicClock.Nanoseconds - before, Is.GreaterThan(4_000_000));
    }

    [System.Runtime.InteropServices.LibraryImport("libc", EntryPoint = "dup")]
    private static partial int Duplicate(int descriptor);

    [System.Runtime.InteropServices.LibraryImport("libc", EntryPoint = "close")]
    private static partial int Close(int descriptor);
}
