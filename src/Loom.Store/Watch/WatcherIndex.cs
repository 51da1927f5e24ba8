using Loom.Store.Model;
using Loom.Store.Mvcc;

namespace Loom.Store.Watch;

/// <summary>
/// Which watchers a key concerns: a treap of the distinct ranges in order of their beginnings, each node with the greatest end below it. A key costs O(log ranges + ranges that hold it),
/// however many watchers there are; all watchers of one range share a node. Not safe for several threads.
/// </summary>
internal sealed class WatcherIndex
{
    private Node? root;
    private ulong made;

    public int Count { get; private set; }

    public void Add(Watcher watcher)
    {
        (ReadOnlyMemory<byte> start, ReadOnlyMemory<byte>? end) = Bounds(watcher.Range);
        root = Insert(root, start, end, watcher);
        Count++;
    }

    /// <summary>It is there.</summary>
    public void Remove(Watcher watcher)
    {
        Node node = watcher.Place!;
        int last = node.Watchers.Count - 1;
        node.Watchers[watcher.PlaceInNode] = node.Watchers[last];
        node.Watchers[last].PlaceInNode = watcher.PlaceInNode;
        node.Watchers.RemoveAt(last);
        watcher.Place = null;
        Count--;
        if (last == 0)
        {
            root = Delete(root, node);
        }
    }

    /// <summary>Adds every watcher whose range holds the key.</summary>
    public void Find(ReadOnlySpan<byte> key, List<Watcher> found) => Find(root, key, found);

    public void CopyTo(List<Watcher> all) => CopyTo(root, all);

    private static void Find(Node? node, ReadOnlySpan<byte> key, List<Watcher> found)
    {
        while (node is not null && IsBelow(key, node.GreatestEnd))
        {
            Find(node.Left, key, found);
            if (node.Start.Span.SequenceCompareTo(key) > 0)
            {
                return;
            }

            if (IsBelow(key, node.End))
            {
                found.AddRange(node.Watchers);
            }

            node = node.Right;
        }
    }

    private static void CopyTo(Node? node, List<Watcher> all)
    {
        if (node is not null)
        {
            CopyTo(node.Left, all);
            all.AddRange(node.Watchers);
            CopyTo(node.Right, all);
        }
    }

    private Node Insert(Node? node, ReadOnlyMemory<byte> start, ReadOnlyMemory<byte>? end, Watcher watcher)
    {
        if (node is null)
        {
            // Mixed counters: as good as random for the shape of the tree, and the same in every run.
            Node added = new(start, end, Mix(++made));
            Join(added, watcher);
            return added;
        }

        int order = Compare(start, end, node);
        if (order == 0)
        {
            Join(node, watcher);
        }
        else if (order < 0)
        {
            node.Left = Insert(node.Left, start, end, watcher);
            node = node.Left.Priority > node.Priority ? RotateRight(node) : node.Updated();
        }
        else
        {
            node.Right = Insert(node.Right, start, end, watcher);
            node = node.Right.Priority > node.Priority ? RotateLeft(node) : node.Updated();
        }

        return node;
    }

    private static void Join(Node node, Watcher watcher)
    {
        watcher.Place = node;
        watcher.PlaceInNode = node.Watchers.Count;
        node.Watchers.Add(watcher);
    }

    private static Node? Delete(Node? node, Node gone)
    {
        if (node == gone)
        {
            return Merge(gone.Left, gone.Right);
        }

        if (Compare(gone.Start, gone.End, node!) < 0)
        {
            node!.Left = Delete(node.Left, gone);
        }
        else
        {
            node!.Right = Delete(node.Right, gone);
        }

        return node.Updated();
    }

    private static Node? Merge(Node? left, Node? right)
    {
        if (left is null || right is null)
        {
            return left ?? right;
        }

        if (left.Priority > right.Priority)
        {
            left.Right = Merge(left.Right, right);
            return left.Updated();
        }

        right.Left = Merge(left, right.Left);
        return right.Updated();
    }

    private static Node RotateRight(Node node)
    {
        Node up = node.Left!;
        node.Left = up.Right;
        up.Right = node.Updated();
        return up.Updated();
    }

    private static Node RotateLeft(Node node)
    {
        Node up = node.Right!;
        node.Right = up.Left;
        up.Left = node.Updated();
        return up.Updated();
    }

    private static int Compare(ReadOnlyMemory<byte> start, ReadOnlyMemory<byte>? end, Node node)
    {
        int order = start.Span.SequenceCompareTo(node.Start.Span);
        return order != 0 ? order : CompareEnds(end, node.End);
    }

    /// <summary>Null: no upper bound.</summary>
    private static int CompareEnds(ReadOnlyMemory<byte>? left, ReadOnlyMemory<byte>? right) => (left, right) switch
    {
        (null, null) => 0,
        (null, _) => 1,
        (_, null) => -1,
        _ => left.Value.Span.SequenceCompareTo(right.Value.Span),
    };

    private static bool IsBelow(ReadOnlySpan<byte> key, ReadOnlyMemory<byte>? end) => end is not { } bound || key.SequenceCompareTo(bound.Span) < 0;

    private static (ReadOnlyMemory<byte> Start, ReadOnlyMemory<byte>? End) Bounds(KeyRange range)
    {
        if (!range.IsSingle)
        {
            return (range.Start, range.IsOpenEnded() ? default(ReadOnlyMemory<byte>?) : range.End);
        }

        // The smallest key behind it is itself and a zero byte.
        byte[] end = new byte[range.Start.Length + 1];
        range.Start.CopyTo(end);
        return (end.AsMemory(0, range.Start.Length), end);
    }

    private static ulong Mix(ulong number)
    {
        number *= 0x9E3779B97F4A7C15;
        number = (number ^ (number >> 30)) * 0xBF58476D1CE4E5B9;
        number = (number ^ (number >> 27)) * 0x94D049BB133111EB;
        return number ^ (number >> 31);
    }

    internal sealed class Node(ReadOnlyMemory<byte> start, ReadOnlyMemory<byte>? end, ulong priority)
    {
        public readonly ReadOnlyMemory<byte> Start = start;
        public readonly ReadOnlyMemory<byte>? End = end;
        public readonly ulong Priority = priority;
        public readonly List<Watcher> Watchers = new(1);
        public Node? Left;
        public Node? Right;
        public ReadOnlyMemory<byte>? GreatestEnd = end;

        public Node Updated()
        {
            GreatestEnd = End;
            Raise(Left);
            Raise(Right);
            return this;
        }

        private void Raise(Node? child)
        {
            if (child is not null && CompareEnds(child.GreatestEnd, GreatestEnd) > 0)
            {
                GreatestEnd = child.GreatestEnd;
            }
        }
    }
}
