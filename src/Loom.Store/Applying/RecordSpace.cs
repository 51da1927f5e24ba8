using Loom.Store.Commands;
using Loom.Store.Mvcc;

namespace Loom.Store.Applying;

/// <summary>
/// How many bytes of records a payload may become, from above, looked at without decoding it: a put becomes one record, which holds what the payload holds; a transaction many,
/// of which the smallest takes 10 bytes in the payload and 72 in the store.
/// </summary>
internal static class RecordSpace
{
    /// <summary>Our header of a record and what FASTER puts around it, rounded up.</summary>
    public const int PerRecord = RecordCodec.HeaderBytes + 51;

    private const int PerByteOfTransaction = 8;

    // [ format, kind, body ]: the array's header and the format take a byte each.
    private const int KindAt = 2;

    public static long Of(ReadOnlySpan<byte> payload) => payload.Length <= KindAt ? 0 : (CommandKind)payload[KindAt] switch
    {
        CommandKind.Put => payload.Length + PerRecord,
        CommandKind.Transaction => (long)PerByteOfTransaction * payload.Length,
        _ => 0,
    };
}
