using Loom.Raft.Log;

namespace Loom.Simulation.Disk;

/// <summary>What the disk was asked to do; the argument of <see cref="SimulatedDisk.Fault"/>.</summary>
internal enum DiskOperation
{
    Create,
    Open,
    Read,
    Write,
    SetLength,
    Flush,
    Rename,
    Delete,
    CreateDirectory,
    FlushDirectory,
}

/// <summary>The machine lost power, or the process was killed, inside of a file operation. Whoever catches it must forget all handles.</summary>
internal sealed class SimulatedCrashException : Exception
{
    public SimulatedCrashException()
        : base("the simulated machine stopped inside of a file operation")
    {
    }
}

/// <summary>
/// One member's disk in memory, with what a crash may do to it. Writes are visible at once (the page cache) and durable after <see cref="IFile.Flush"/>;
/// names are durable after <see cref="IFileSystem.FlushDirectory"/>. <see cref="PowerCut"/> decides from its seed, for every 4 KiB block written since the last flush
/// alone, whether the block has its old content, its new one, or is torn: sectors of both, and one that holds neither (a drive that lost power inside of a sector).
/// A flush that fails (<see cref="Fault"/>) leaves its blocks as Linux does: clean in the page cache, and never written, however often they are flushed again.
/// <see cref="Kill"/> keeps the page cache: the processes are gone, but nothing is more durable than before (L5).
/// Not thread-safe: one thread at a time.
/// </summary>
internal sealed class SimulatedDisk : IFileSystem
{
    public const int BlockBytes = 4096;
    private const int SectorBytes = 512;

    private readonly SortedDictionary<string, Inode> names = new(StringComparer.Ordinal);
    private readonly SortedDictionary<string, Inode> durableNames = new(StringComparer.Ordinal);
    private readonly SortedSet<string> directories = new(StringComparer.Ordinal);
    private readonly SortedSet<string> durableDirectories = new(StringComparer.Ordinal);

    // Changes of names since the last FlushDirectory of their directory, in order: a journal, of which a crash keeps a prefix.
    private readonly List<NameChange> unflushedNames = [];
    private ulong random;
    private int generation;
    private int nextInode;
    private long operationsUntilCrash = long.MaxValue;

    public SimulatedDisk(ulong seed) => random = seed;

    /// <summary>Called before every operation; what it throws (an IOException with EIO or ENOSPC as its text says) is what the caller gets.</summary>
    public Action<DiskOperation, string>? Fault { get; set; }

    /// <summary>Bytes that all files together may hold; a write or extension beyond it fails as ENOSPC does.</summary>
    public long CapacityBytes { get; set; } = long.MaxValue;

    /// <summary>Nothing is ever torn or lost but whole blocks, when false: for tests that need it tame.</summary>
    public bool TearsBlocks { get; set; } = true;

    public long Operations { get; private set; }

    public long Flushes { get; private set; }

    /// <summary>Lets <paramref name="operations"/> more operations happen; the next one takes effect in the page cache and throws <see cref="SimulatedCrashException"/>,
    /// and so does every later one until <see cref="PowerCut"/> or <see cref="Kill"/>.</summary>
    public void CrashAfter(long operations) => operationsUntilCrash = operations;

    /// <summary>The processes are gone and their handles dead; the page cache lives, and what was not flushed still is not.</summary>
    public void Kill()
    {
        generation++;
        operationsUntilCrash = long.MaxValue;
    }

    /// <summary>Power loss: what was flushed stays, of the rest each block and each change of a name takes its chance.</summary>
    public void PowerCut()
    {
        Kill();
        SortedSet<Inode> inodes = new(durableNames.Values.Concat(names.Values), Comparer<Inode>.Create((x, y) => x.Number.CompareTo(y.Number)));
        foreach (Inode inode in inodes)
            LoseUnflushedBlocks(inode);

        // Per directory a prefix of the journal survives.
        SortedDictionary<string, int> kept = new(StringComparer.Ordinal);
        foreach (IGrouping<string, NameChange> group in unflushedNames.GroupBy(c => c.Directory).OrderBy(g => g.Key, StringComparer.Ordinal))
            kept[group.Key] = (int)(Next() % (ulong)(group.Count() + 1));
        foreach (NameChange change in unflushedNames)
        {
            if (kept[change.Directory]-- > 0)
                Apply(change);
        }

        unflushedNames.Clear();
        directories.IntersectWith(durableDirectories);
        names.Clear();
        foreach ((string path, Inode inode) in durableNames.ToList())
        {
            if (DirectoryExists(Parent(path)))
                names[path] = inode;
            else
                durableNames.Remove(path);
        }
    }

    /// <summary>An independent copy in the same state, unflushed parts included; handles stay with the original.</summary>
    public SimulatedDisk Clone(ulong seed)
    {
        SimulatedDisk copy = new(seed) { TearsBlocks = TearsBlocks, CapacityBytes = CapacityBytes };
        SortedDictionary<int, Inode> copies = [];
        Inode Copied(Inode inode)
        {
            if (!copies.TryGetValue(inode.Number, out Inode? made))
                copies[inode.Number] = made = inode.Copy();
            return made;
        }

        foreach ((string path, Inode inode) in names)
            copy.names[path] = Copied(inode);
        foreach ((string path, Inode inode) in durableNames)
            copy.durableNames[path] = Copied(inode);
        foreach (NameChange change in unflushedNames)
            copy.unflushedNames.Add(change with { Inode = change.Inode is { } inode ? Copied(inode) : null });
        copy.directories.UnionWith(directories);
        copy.durableDirectories.UnionWith(durableDirectories);
        copy.nextInode = nextInode;
        return copy;
    }

    /// <summary>Damage: flips one bit of what is stored, flushed or not.</summary>
    public void FlipBit(string path, long offset, int bit) => names[path].Bytes[offset] ^= (byte)(1 << bit);

    /// <summary>Damage: cuts a file, durably.</summary>
    public void Cut(string path, long length) => names[path].CutDurably(length);

    /// <summary>Damage: overwrites bytes, durably.</summary>
    public void Overwrite(string path, long offset, ReadOnlySpan<byte> bytes) => bytes.CopyTo(names[path].Bytes.AsSpan((int)offset));

    /// <summary>What a reader would see.</summary>
    public byte[] ReadAll(string path) => names[path].Bytes.AsSpan(0, (int)names[path].Length).ToArray();

    /// <summary>The disk is replaced by an empty one.</summary>
    public void Erase()
    {
        Kill();
        names.Clear();
        durableNames.Clear();
        directories.Clear();
        durableDirectories.Clear();
        unflushedNames.Clear();
    }

    public bool FileExists(string path) => names.ContainsKey(path);

    public void CreateDirectory(string path)
    {
        Begin(DiskOperation.CreateDirectory, path);
        for (string at = path; at.Length > 0 && !directories.Contains(at); at = Parent(at))
        {
            directories.Add(at);

            // A directory at the top stands for a mounted disk: it was there before us.
            if (Parent(at).Length == 0)
                durableDirectories.Add(at);
            else
                unflushedNames.Add(new NameChange(Parent(at), at, null, null, IsDirectory: true));
        }

        End();
    }

    public IReadOnlyList<string> ListFiles(string directory) =>
        [.. names.Keys.Where(path => Parent(path) == directory).Select(path => path[(directory.Length == 0 ? 0 : directory.Length + 1)..])];

    public IFile Open(string path, bool create)
    {
        bool exists = names.TryGetValue(path, out Inode? inode);
        Begin(exists || !create ? DiskOperation.Open : DiskOperation.Create, path);
        if (!exists)
        {
            if (!create)
                throw new IOException($"Cannot open {path}: no such file");
            if (!DirectoryExists(Parent(path)))
                throw new IOException($"Cannot open {path}: no such directory");
            names[path] = inode = new Inode(nextInode++);
            unflushedNames.Add(new NameChange(Parent(path), path, null, inode, IsDirectory: false));
        }

        End();
        return new OpenFile(this, path, inode!);
    }

    public void Rename(string from, string to)
    {
        Begin(DiskOperation.Rename, from);
        if (Parent(from) != Parent(to))
            throw new IOException($"Cannot rename {from} to {to}: the simulated disk renames within one directory only");
        if (!names.Remove(from, out Inode? inode))
            throw new IOException($"Cannot rename {from}: no such file");
        names[to] = inode;
        unflushedNames.Add(new NameChange(Parent(to), to, from, inode, IsDirectory: false));
        End();
    }

    public void Delete(string path)
    {
        Begin(DiskOperation.Delete, path);
        if (!names.Remove(path))
            throw new IOException($"Cannot delete {path}: no such file");
        unflushedNames.Add(new NameChange(Parent(path), path, null, null, IsDirectory: false));
        End();
    }

    public void FlushDirectory(string path)
    {
        Begin(DiskOperation.FlushDirectory, path);
        if (!DirectoryExists(path))
            throw new IOException($"Cannot flush directory {path}: no such directory");
        End();
        foreach (NameChange change in unflushedNames.Where(c => c.Directory == path))
            Apply(change);
        unflushedNames.RemoveAll(c => c.Directory == path);
        Flushes++;
    }

    private static string Parent(string path)
    {
        int slash = path.LastIndexOf('/');
        return slash < 0 ? "" : path[..slash];
    }

    private bool DirectoryExists(string path) => path.Length == 0 || directories.Contains(path);

    private void Apply(NameChange change)
    {
        if (change.IsDirectory)
        {
            durableDirectories.Add(change.Path);
            return;
        }

        if (change.From is not null)
            durableNames.Remove(change.From);
        if (change.Inode is null)
            durableNames.Remove(change.Path);
        else
            durableNames[change.Path] = change.Inode;
    }

    private void Begin(DiskOperation operation, string path)
    {
        if (operationsUntilCrash < 0)
            throw new SimulatedCrashException();
        Operations++;
        Fault?.Invoke(operation, path);
    }

    private void End()
    {
        // The operation that the crash falls into has happened in the page cache: PowerCut decides how much of it remains.
        if (operationsUntilCrash != long.MaxValue && --operationsUntilCrash < 0)
            throw new SimulatedCrashException();
    }

    private void CheckSpace(Inode inode, long end)
    {
        if (CapacityBytes != long.MaxValue && end > inode.Length && names.Values.Sum(i => i.Length) + end - inode.Length > CapacityBytes)
            throw new NoSpaceException("No space left on device (errno 28)");
    }

    private void LoseUnflushedBlocks(Inode inode)
    {
        bool newLength = inode.Length == inode.DurableLength || (Next() & 1) == 0;
        foreach ((int block, byte[]? old) in inode.Unflushed)
        {
            Span<byte> now = inode.Bytes.AsSpan(block * BlockBytes, BlockBytes);
            switch (Next() % 4)
            {
                case 0 or 1:
                    break;
                case 2 when TearsBlocks:
                    Tear(now, old);
                    break;
                default:
                    Restore(now, old);
                    break;
            }
        }

        foreach ((int block, byte[]? old) in inode.Lost)
            Restore(inode.Bytes.AsSpan(block * BlockBytes, BlockBytes), old);
        inode.Unflushed.Clear();
        inode.Lost.Clear();
        if (!newLength)
            inode.Length = inode.DurableLength;
        inode.Bytes.AsSpan((int)inode.Length).Clear();
        inode.DurableLength = inode.Length;
    }

    private void Tear(Span<byte> now, byte[]? old)
    {
        int lost = (int)(Next() % (BlockBytes / SectorBytes));
        for (int sector = 0; sector < BlockBytes / SectorBytes; sector++)
        {
            Span<byte> bytes = now.Slice(sector * SectorBytes, SectorBytes);
            if (sector == lost)
            {
                for (int i = 0; i < bytes.Length; i++)
                    bytes[i] = (byte)Next();
            }
            else if ((Next() & 1) == 0)
            {
                Restore(bytes, old is null ? default : old.AsSpan(sector * SectorBytes, SectorBytes));
            }
        }
    }

    private static void Restore(Span<byte> now, ReadOnlySpan<byte> old)
    {
        if (old.IsEmpty)
            now.Clear();
        else
            old.CopyTo(now);
    }

    /// <summary>SplitMix64: small, and the same everywhere for ever.</summary>
    private ulong Next()
    {
        ulong z = random += 0x9E3779B97F4A7C15;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }

    private sealed record NameChange(string Directory, string Path, string? From, Inode? Inode, bool IsDirectory);

    private sealed class Inode(int number)
    {
        public int Number => number;

        /// <summary>A multiple of the block size; zero beyond Length.</summary>
        public byte[] Bytes = [];

        public long Length;
        public long DurableLength;

        /// <summary>Blocks written since the last flush, with what they durably hold (null: nothing, zeros).</summary>
        public SortedDictionary<int, byte[]?> Unflushed { get; private init; } = [];

        /// <summary>Blocks whose flush failed, with what they durably hold: the page cache calls them clean and shows their new content, but no flush writes them any more.</summary>
        public SortedDictionary<int, byte[]?> Lost { get; private init; } = [];

        public void DropUnflushed()
        {
            foreach ((int block, byte[]? old) in Unflushed)
                Lost.TryAdd(block, old);
            Unflushed.Clear();
        }

        public void Touch(long offset, long count)
        {
            for (int block = (int)(offset / BlockBytes); block * (long)BlockBytes < offset + count; block++)
            {
                if (Lost.Remove(block, out byte[]? lost))
                    Unflushed[block] = lost;
                else if (!Unflushed.ContainsKey(block))
                    Unflushed[block] = block * (long)BlockBytes < DurableLength ? Bytes.AsSpan(block * BlockBytes, BlockBytes).ToArray() : null;
            }
        }

        public void Reserve(long length)
        {
            if (length > Bytes.Length)
                Array.Resize(ref Bytes, (int)((Math.Max(length, Bytes.Length * 5L / 4) + BlockBytes - 1) / BlockBytes * BlockBytes));
        }

        public void CutDurably(long length)
        {
            Bytes.AsSpan((int)length).Clear();
            Length = DurableLength = length;
        }

        public Inode Copy()
        {
            Inode copy = new(Number) { Bytes = [.. Bytes], Length = Length, DurableLength = DurableLength };
            foreach ((int block, byte[]? old) in Unflushed)
                copy.Unflushed[block] = old;
            foreach ((int block, byte[]? old) in Lost)
                copy.Lost[block] = old;
            return copy;
        }
    }

    private sealed class OpenFile : IFile
    {
        private readonly SimulatedDisk disk;
        private readonly string path;
        private readonly Inode inode;
        private readonly int generation;
        private bool disposed;

        public OpenFile(SimulatedDisk disk, string path, Inode inode)
        {
            this.disk = disk;
            this.path = path;
            this.inode = inode;
            generation = disk.generation;
        }

        public long Length => inode.Length;

        public int Read(long offset, Span<byte> buffer)
        {
            Begin(DiskOperation.Read);
            int count = (int)Math.Max(0, Math.Min(buffer.Length, inode.Length - offset));
            inode.Bytes.AsSpan((int)Math.Min(offset, inode.Length), count).CopyTo(buffer);
            disk.End();
            return count;
        }

        public void Write(long offset, ReadOnlySpan<byte> bytes)
        {
            Begin(DiskOperation.Write);
            disk.CheckSpace(inode, offset + bytes.Length);
            inode.Reserve(offset + bytes.Length);
            inode.Touch(offset, bytes.Length);
            bytes.CopyTo(inode.Bytes.AsSpan((int)offset));
            inode.Length = Math.Max(inode.Length, offset + bytes.Length);
            disk.End();
        }

        public void SetLength(long length)
        {
            Begin(DiskOperation.SetLength);
            disk.CheckSpace(inode, length);
            inode.Reserve(length);
            if (length < inode.Length)
            {
                inode.Touch(length, inode.Length - length);
                inode.Bytes.AsSpan((int)length).Clear();
            }

            inode.Length = length;
            disk.End();
        }

        public void Allocate(long length)
        {
            Begin(DiskOperation.SetLength);
            disk.CheckSpace(inode, length);
            inode.Reserve(Math.Max(length, inode.Length));
            inode.Length = Math.Max(length, inode.Length);
            disk.End();
        }

        public void Flush()
        {
            try
            {
                Begin(DiskOperation.Flush);
            }
            catch (IOException)
            {
                inode.DropUnflushed();
                throw;
            }

            // A crash inside of a flush: each block still takes its chance, so End stands before the effect.
            disk.End();
            inode.Unflushed.Clear();
            inode.DurableLength = inode.Length;
            disk.Flushes++;
        }

        public void Dispose() => disposed = true;

        private void Begin(DiskOperation operation)
        {
            ObjectDisposedException.ThrowIf(disposed, this);
            if (generation != disk.generation)
                throw new SimulatedCrashException();
            disk.Begin(operation, path);
        }
    }
}
