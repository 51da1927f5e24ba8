using Google.Protobuf;
using Loom.Store.Model;
using Wire = Loom.Server.Etcd.Protos;

namespace Loom.Server.Etcd.Translation;

/// <summary>Watches in etcd's words and in the store's.</summary>
internal static class WatchTranslation
{
    private static readonly ByteString Zero = ByteString.CopyFrom(0);

    /// <summary>An empty key is the smallest there is.</summary>
    public static WatchQuery Query(Wire.WatchCreateRequest request) =>
        new(new KeyRange((request.Key.IsEmpty ? Zero : request.Key).Memory, request.RangeEnd.Memory))
        {
            From = new Revision(request.StartRevision),
            Puts = !request.Filters.Contains(Wire.WatchCreateRequest.Types.FilterType.Noput),
            Deletes = !request.Filters.Contains(Wire.WatchCreateRequest.Types.FilterType.Nodelete),
            PreviousPairs = request.PrevKv,
            Progress = request.ProgressNotify,
        };

    /// <summary>No key can be in the range. (An end of one zero byte is no end.)</summary>
    public static bool IsEmpty(Wire.WatchCreateRequest request)
    {
        ReadOnlySpan<byte> end = request.RangeEnd.Span;
        bool isBounded = end.Length > 1 || (end.Length == 1 && end[0] != 0);
        return isBounded && (request.Key.IsEmpty ? Zero : request.Key).Span.SequenceCompareTo(end) >= 0;
    }

    public static void Fill(Wire.WatchResponse response, IReadOnlyList<WatchEvent> events)
    {
        response.Events.Capacity = events.Count;
        for (int i = 0; i < events.Count; i++)
        {
            response.Events.Add(Event(events[i]));
        }
    }

    /// <summary>
    /// Cuts a response that is larger than a message may be into parts with <c>fragment</c> set on all but the last; an event is never cut, and one that is too large goes alone.
    /// </summary>
    public static IEnumerable<Wire.WatchResponse> Fragments(Wire.WatchResponse response, int maxBytes)
    {
        if (response.Events.Count < 2 || response.CalculateSize() < maxBytes)
        {
            yield return response;
            yield break;
        }

        for (int next = 0; next < response.Events.Count;)
        {
            var part = new Wire.WatchResponse { Header = response.Header, WatchId = response.WatchId, Fragment = true };
            int bytes = part.CalculateSize();
            while (next < response.Events.Count)
            {
                int size = response.Events[next].CalculateSize();
                bytes += 1 + CodedOutputStream.ComputeLengthSize(size) + size;
                if (bytes >= maxBytes && part.Events.Count > 0)
                {
                    break;
                }

                part.Events.Add(response.Events[next++]);
            }

            part.Fragment = next < response.Events.Count;
            yield return part;
        }
    }

    /// <summary>About as many bytes as it is on the wire.</summary>
    public static long Bytes(Wire.WatchResponse response)
    {
        const int Overhead = 48;
        long bytes = Overhead;
        foreach (Wire.Event change in response.Events)
        {
            bytes += Overhead + change.Kv.Key.Length + change.Kv.Value.Length + (change.PrevKv is { } previous ? Overhead + previous.Key.Length + previous.Value.Length : 0);
        }

        return bytes;
    }

    /// <summary>Of a delete etcd says the key and the revision, and nothing else.</summary>
    private static Wire.Event Event(WatchEvent change)
    {
        var said = change.Kind == WatchEventKind.Put
            ? new Wire.Event { Type = Wire.Event.Types.EventType.Put, Kv = ResponseTranslation.Pair(change.Pair) }
            : new Wire.Event
            {
                Type = Wire.Event.Types.EventType.Delete,
                Kv = new Wire.KeyValue { Key = UnsafeByteOperations.UnsafeWrap(change.Pair.Key), ModRevision = change.Pair.ModRevision },
            };
        if (change.Previous is { } previous)
        {
            said.PrevKv = ResponseTranslation.Pair(previous);
        }

        return said;
    }
}
