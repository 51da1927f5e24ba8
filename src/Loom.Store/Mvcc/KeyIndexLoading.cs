using System.Diagnostics;

namespace Loom.Store.Mvcc;

// Building an index at once from keys in order, bottom-up: a million keys in a fraction of what inserting them takes.
internal sealed partial class KeyIndex
{
    /// <summary>Keys are added in ascending order, each with all its versions; then the index is complete. One thread.</summary>
    internal sealed class Loader
    {
        // Room in every node, or the first random inserts would split all of them.
        private const int Fill = KeyNode.Width * 3 / 4;

        private readonly KeyIndex index = new();
        private readonly List<KeyBranch> open = [];
        private readonly List<RetiredBlock> left = [];
        private KeyLeaf leaf;

        public Loader() => leaf = new(index.building);

        /// <summary>Stores a key ahead of its turn, where the index will keep it.</summary>
        public ulong Store(ReadOnlySpan<byte> key) => index.keys.Add(key);

        /// <summary>A stored key.</summary>
        public ReadOnlySpan<byte> Stored(ulong key) => index.keys.Get(key);

        /// <summary>Gives back a stored key that is not to be added.</summary>
        public void Drop(ulong key) => index.keys.Free(key);

        /// <summary>A key above every one added before, and its versions, oldest first; at least one.</summary>
        public void Add(ReadOnlySpan<byte> key, ReadOnlySpan<KeyVersion> versions) => Add(Store(key), versions);

        /// <summary>As above, of a stored key.</summary>
        public void Add(ulong stored, ReadOnlySpan<KeyVersion> versions)
        {
            ReadOnlySpan<byte> key = Stored(stored);
            KeyVersion head = versions[^1];
            KeyEntry entry = new() { Key = stored, Head = new(head.At, head.IsDeleted), Create = head.Create, Version = head.Version, Mark = head.Mark };
            if (versions.Length > 1)
            {
                foreach (ref readonly KeyVersion version in versions[..^1])
                {
                    entry.Older = index.histories.Append(entry.Older, entry.OlderCount++, new(version.At, version.IsDeleted), left);
                }

                // Nobody reads this index yet.
                left.ForEach(index.histories.Free);
                left.Clear();
            }

            if (head.At.CompareTo(index.newest) > 0)
            {
                index.newest = head.At;
            }

            Debug.Assert(leaf.Count == 0 || index.KeyOf(leaf, leaf.Count - 1).SequenceCompareTo(key) < 0, "keys come in ascending order");
            leaf.Insert(leaf.Count, index.entries.Add(entry), KeyLeaf.PrintOf(key));
            leaf.Live += head.IsDeleted ? 0 : 1;
            leaf.Histories += entry.HasHistory ? 1 : 0;
            if (leaf.Count == Fill)
            {
                Close(leaf, 0);
                leaf = new(index.building);
            }
        }

        /// <summary>The published index; this loader is used up.</summary>
        public KeyIndex Complete()
        {
            if (open.Count == 0)
            {
                index.top = leaf;
            }
            else
            {
                if (leaf.Count > 0)
                {
                    Close(leaf, 0);
                }

                // A level that has just been closed lies below another one, so the last is never empty.
                for (int level = 0; level < open.Count - 1; level++)
                {
                    if (open[level].Count > 0)
                    {
                        open[level].Discriminate(index.keys);
                        Close(open[level], level + 1);
                    }
                }

                open[^1].Discriminate(index.keys);
                index.top = open[^1];
                while (index.top is KeyBranch { Count: 1 } lonely)
                {
                    index.top = lonely.Children[0]!;
                }
            }

            index.changed = true;
            index.Publish();
            return index;
        }

        /// <summary>Hangs a finished node into the open branch above it.</summary>
        private void Close(KeyNode node, int level)
        {
            if (level == open.Count)
            {
                open.Add(new(index.building));
            }

            KeyBranch branch = open[level];
            branch.Insert(branch.Count, index.FirstKey(node), node);
            branch.Live += node.Live;
            branch.Histories += node.Histories;
            if (branch.Count == Fill)
            {
                branch.Discriminate(index.keys);
                open[level] = new(index.building);
                Close(branch, level + 1);
            }
        }
    }
}
