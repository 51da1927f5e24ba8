using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using Loom.Raft;
using Loom.Raft.Diagnostics;
using Loom.Store.Model;
using Loom.Store.Snapshots;
using Loom.Testing;
using NUnit.Framework;

namespace Loom.Store.Tests.Snapshots;

/// <summary>The bytes of a backup: what is in it, its envelope, and that nothing that was damaged passes for one.</summary>
internal sealed class BackupArchiveTests
{
    [Test]
    public async Task It_says_what_it_holds_and_has_the_envelope_of_etcds_snapshots()
    {
        byte[] archive = await SmallAsync();
        LoomBackupReport report = Inspect(archive);
        Assert.That(report, Has.Property("Revision").EqualTo(6).And.Property("CompactRevision").EqualTo(3).And.Property("Keys").EqualTo(2).And.Property("Index").EqualTo(6));
        Assert.That(report.Bytes, Is.EqualTo(archive.Length));
        Assert.That(archive.Length % 512, Is.EqualTo(32), "etcdctl takes what has the SHA-256 behind whole blocks");
        Assert.That(archive[^32..], Is.EqualTo(SHA256.HashData(archive.AsSpan(0, archive.Length - 32))));
        Assert.That(report.Hash, Is.EqualTo(Convert.ToHexStringLower(archive.AsSpan(archive.Length - 32))));
    }

    [Test]
    public async Task Every_flipped_bit_is_found()
    {
        byte[] archive = await SmallAsync();
        for (int bit = 0; bit < 8 * archive.Length; bit++)
        {
            archive[bit / 8] ^= (byte)(1 << (bit % 8));
            Assert.That(Fault(archive)?.Code, Is.EqualTo(RaftErrorCode.Corruption), $"bit {bit % 8} at {bit / 8}");
            archive[bit / 8] ^= (byte)(1 << (bit % 8));
        }

        Assert.That(Fault(archive), Is.Null);
    }

    [Test]
    public async Task Every_truncation_is_found_and_so_is_what_follows_the_end()
    {
        byte[] archive = await SmallAsync();
        for (int length = 0; length < archive.Length; length++)
        {
            Assert.That(Fault(archive[..length])?.Code, Is.EqualTo(RaftErrorCode.Corruption), $"cut at {length}");
        }

        Assert.That(Fault([.. archive, 0])?.Message, Does.Contain("something follows its end"));
    }

    /// <summary>With the hash of the whole made right again: the frames themselves tell that they are not where they were.</summary>
    [Test]
    public async Task Frames_that_were_left_out_swapped_or_repeated_are_found()
    {
        byte[] archive = await LargeAsync();
        List<byte[]> frames = Split(archive, out byte[] preamble);
        Assert.That(frames, Has.Count.GreaterThan(5));
        Assert.That(Fault(Join(preamble, frames)), Is.Null, "taken apart and put together");
        Assert.That(Fault(Join(preamble, [frames[0], frames[2], frames[1], .. frames[3..]]))?.Message, Does.Contain("a frame is missing or was moved"));
        Assert.That(Fault(Join(preamble, [frames[0], .. frames[2..]]))?.Message, Does.Contain("a frame is missing or was moved"));
        Assert.That(Fault(Join(preamble, [.. frames[..2], .. frames[1..]]))?.Message, Does.Contain("a frame is missing or was moved"));
    }

    [Test]
    public async Task Another_states_chunks_are_found_whatever_their_checksums_say()
    {
        List<byte[]> one = Split(await LargeAsync(), out byte[] preamble), other = Split(await LargeAsync(changed: true), out _);
        Assert.That(Fault(Join(preamble, [one[0], .. other[1..]]))?.Message, Does.Contain("is not the one that its header names"));
    }

    [Test]
    public async Task A_newer_version_is_refused_by_name()
    {
        byte[] archive = await SmallAsync();
        BinaryPrimitives.WriteUInt16LittleEndian(archive.AsSpan(4), 2);
        BinaryPrimitives.WriteUInt32LittleEndian(archive.AsSpan(12), Crc32C.Continue(0, archive.AsSpan(0, 12)));
        RaftException fault = Fault(Sealed(archive))!;
        Assert.That(fault.Code, Is.EqualTo(RaftErrorCode.CannotOpen));
        Assert.That(fault.Message, Does.Contain("has format 2").And.Contain("knows 1"));
    }

    [Test]
    public async Task A_large_state_is_made_and_read_piece_by_piece()
    {
        await using LoomStore store = ImmediateNode.OpenStore(out ImmediateNode node);
        for (int i = 0; i < 300; i++)
        {
            await store.PutAsync(Encoding.ASCII.GetBytes($"{i:d6}"), new byte[20_000]);
        }

        using BackupWriter writer = new(await node.CaptureSnapshotAsync());
        long total = 0, longest = 0;
        for (ReadOnlyMemory<byte> piece = writer.Next(); !piece.IsEmpty; piece = writer.Next())
        {
            total += piece.Length;
            longest = Math.Max(longest, piece.Length);
        }

        Assert.That(longest, Is.LessThanOrEqualTo(64 * 1024));
        Assert.That(total, Is.GreaterThan(6_000_000));
        Assert.That(writer.EstimatedBytes, Is.EqualTo(total).Within(5).Percent);
    }

    private static async Task<byte[]> SmallAsync()
    {
        await using LoomStore store = ImmediateNode.OpenStore();
        await store.PutAsync("a"u8.ToArray(), "1"u8.ToArray());
        await store.PutAsync("a"u8.ToArray(), "2"u8.ToArray());
        await store.CompactAsync(new Revision(3));
        await store.PutAsync("b"u8.ToArray(), "3"u8.ToArray());
        await store.DeleteAsync(KeyRange.Single("b"u8.ToArray()));
        await store.PutAsync("c"u8.ToArray(), "4"u8.ToArray());
        return await BackupOfAsync(store);
    }

    private static async Task<byte[]> LargeAsync(bool changed = false)
    {
        await using LoomStore store = ImmediateNode.OpenStore();
        for (int i = 0; i < 30; i++)
        {
            byte[] value = new byte[10_000];
            value[0] = (byte)(changed && i == 17 ? 1 : 0);
            await store.PutAsync(Encoding.ASCII.GetBytes($"{i:d6}"), value);
        }

        return await BackupOfAsync(store);
    }

    internal static async Task<byte[]> BackupOfAsync(ILoomStore store)
    {
        await using LoomBackupStream backup = await store.OpenBackupAsync();
        using MemoryStream archive = new();
        await backup.CopyToAsync(archive);
        return archive.ToArray();
    }

    private static LoomBackupReport Inspect(byte[] archive) => BackupInspection.Run("test", new MemoryStream(archive), CancellationToken.None).Report;

    private static RaftException? Fault(byte[] archive)
    {
        try
        {
            Inspect(archive);
            return null;
        }
        catch (RaftException fault)
        {
            return fault;
        }
    }

    private static byte[] Sealed(byte[] archive)
    {
        SHA256.HashData(archive.AsSpan(0, archive.Length - 32), archive.AsSpan(archive.Length - 32));
        return archive;
    }

    private static List<byte[]> Split(byte[] archive, out byte[] preamble)
    {
        preamble = archive[..BackupArchive.PreambleBytes];
        List<byte[]> frames = [];
        for (int at = BackupArchive.PreambleBytes; frames.Count == 0 || frames[^1][4] != (byte)BackupFrameKind.End; at += frames[^1].Length)
        {
            int length = BackupArchive.FrameHeaderBytes + BinaryPrimitives.ReadInt32LittleEndian(archive.AsSpan(at + 16)) + BinaryPrimitives.ReadInt32LittleEndian(archive.AsSpan(at + 20));
            frames.Add(archive[at..(at + length)]);
        }

        return frames;
    }

    private static byte[] Join(byte[] preamble, IEnumerable<byte[]> frames)
    {
        byte[] joined = [.. preamble, .. frames.SelectMany(frame => frame)];
        return Sealed([.. joined, .. new byte[-joined.Length & 511], .. new byte[32]]);
    }
}
