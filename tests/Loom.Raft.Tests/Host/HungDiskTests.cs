using Loom.Raft.Host;
using Loom.Raft.Log;
using NUnit.Framework;

namespace Loom.Raft.Tests.Host;

/// <summary>E8 with real threads and sockets: the disk of the leader hangs, as a dying one does.</summary>
[NonParallelizable]
public sealed class HungDiskTests
{
    [Test]
    public async Task A_leader_whose_flush_hangs_hands_over()
    {
        await using var cluster = RealCluster.OfThree();
        var disks = new SortedDictionary<string, HangingFiles>(StringComparer.Ordinal);
        var nodes = new SortedDictionary<string, RaftNode>(StringComparer.Ordinal);
        ulong seed = 77;
        foreach (string name in new[] { "east", "west", "south" })
        {
            disks[name] = new HangingFiles();
            HostSettings settings = RaftNode.SettingsFor(cluster.Options(name), seed++) with { Files = disks[name] };
            nodes[name] = await RaftNode.OpenAsync(settings, new ListMachine());
        }
        foreach (RaftNode node in nodes.Values) await node.WaitForLeaderAsync(RealCluster.Soon());
        string leader = nodes.First(n => n.Value.Status.Role == "leader").Key;
        string other = nodes.First(n => n.Value.Status.Role != "leader").Key;
        string third = nodes.Keys.First(n => n != leader && n != other);
        _ = await nodes[other].ProposeAsync(new byte[] { 1 });
        disks[leader].Hang = true;
        int refused = 0;
        long until = Environment.TickCount64 + 3_000;
        while (Environment.TickCount64 < until)
        {
            try
            {
                _ = await nodes[other].ProposeAsync(new byte[64 * 1024]);
            }
            catch (RaftException)
            {
                refused++;
            }
        }
        string after = nodes.First(n => n.Value.Status.Role == "leader").Key;
        disks[leader].Hang = false;
        foreach (RaftNode node in nodes.Values) await node.DisposeAsync();
        Assert.That((after, refused), Is.EqualTo((other, 0)).Or.EqualTo((third, 0)), "another leads, and no write of another member was refused meanwhile");
    }

    private sealed class HangingFiles : IFileSystem
    {
        private readonly PosixFileSystem real = PosixFileSystem.Instance;

        public volatile bool Hang;

        public bool FileExists(string path) => real.FileExists(path);

        public void CreateDirectory(string path) => real.CreateDirectory(path);

        public IReadOnlyList<string> ListFiles(string directory) => real.ListFiles(directory);

        public IFile Open(string path, bool create) => new HangingFile(real.Open(path, create), this);

        public void Rename(string from, string to) => real.Rename(from, to);

        public void Delete(string path) => real.Delete(path);

        public void FlushDirectory(string path) => real.FlushDirectory(path);
    }

    private sealed class HangingFile(IFile real, HangingFiles owner) : IFile
    {
        public long Length => real.Length;

        public int Read(long offset, Span<byte> buffer) => real.Read(offset, buffer);

        public void Write(long offset, ReadOnlySpan<byte> bytes) => real.Write(offset, bytes);

        public void SetLength(long length) => real.SetLength(length);

        public void Allocate(long length) => real.Allocate(length);

        public void Flush()
        {
            while (owner.Hang) Thread.Sleep(10);
            real.Flush();
        }

        public void Dispose() => real.Dispose();
    }
}
