using Loom.Store.Model;
using Loom.Store.Mvcc;

namespace Loom.Store.Watch;

/// <summary>One change as watchers get it; shared by all of them.</summary>
internal sealed class PublishedEvent(WatchEvent plain)
{
    private WatchEvent? withPrevious;

    public WatchEvent Plain => plain;

    public ReadOnlySpan<byte> Key => plain.Pair.Key.Span;

    public long Bytes => Overhead + plain.Pair.Key.Length + plain.Pair.Value.Length;

    /// <summary>With the pair before it, once somebody has read that, unless it is too large to be kept here.</summary>
    public WatchEvent? WithPrevious
    {
        get => Volatile.Read(ref withPrevious);
        set => Volatile.Write(ref withPrevious, value);
    }

    // The objects around key and value.
    private const int Overhead = 192;

    /// <summary>A change that is being applied. Copied: its bytes are a slice of everything that came with it in one message, and whoever keeps an event must not keep all that.</summary>
    public static PublishedEvent Copy(in Change change)
    {
        byte[] bytes = new byte[change.Key.Length + change.Value.Length];
        change.Key.CopyTo(bytes);
        change.Value.CopyTo(bytes.AsMemory(change.Key.Length));
        KeyValue pair = change.ToPair() with { Key = bytes.AsMemory(0, change.Key.Length), Value = bytes.AsMemory(change.Key.Length) };
        return new(new WatchEvent(change.IsTombstone ? WatchEventKind.Delete : WatchEventKind.Put, pair));
    }

    /// <summary>A change that was read back.</summary>
    public static PublishedEvent Read(RecordKey at, ReadOnlyMemory<byte> record) =>
        new(new WatchEvent(RecordCodec.IsTombstone(record.Span) ? WatchEventKind.Delete : WatchEventKind.Put, RecordCodec.Read(at, record)));
}

/// <summary>Everything that one revision changed, in the order of its transaction.</summary>
internal sealed class PublishedRevision(long revision, PublishedEvent[] events)
{
    public long Revision => revision;

    public PublishedEvent[] Events => events;

    public long Bytes { get; } = BytesOf(events);

    public static long BytesOf(ReadOnlySpan<PublishedEvent> events)
    {
        long bytes = 0;
        foreach (PublishedEvent change in events)
        {
            bytes += change.Bytes;
        }

        return bytes;
    }
}
