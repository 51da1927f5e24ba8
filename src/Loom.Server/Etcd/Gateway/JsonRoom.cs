namespace Loom.Server.Etcd.Gateway;

/// <summary>
/// What JSON may cost in memory, one value and all that are worked on at a moment: without a password anybody may send a body, and three bytes of it (<c>{},</c>) can become an object of a hundred.
/// A small value is never refused for the others' sake; connections bound how many of those there are.
/// </summary>
/// <param name="maxBytes">Bytes of one value's text.</param>
/// <param name="maxValues">JSON values in one value, itself too: the names in objects are not counted.</param>
internal sealed class JsonRoom(int maxBytes, int maxValues)
{
    /// <summary>So many of the largest values at a time, or hundreds of a usual size.</summary>
    private const int LargestAtATime = 4;

    /// <summary>What a JSON value takes beside its text: the parser's rows, and the object or the entry that it becomes.</summary>
    private const int BytesPerValue = 128;

    /// <summary>A value that costs less takes no room; the room is taken in such steps, too.</summary>
    private const int StepBytes = 64 * 1024;

    /// <summary>A message takes more room as JSON: base64, and the names of its fields.</summary>
    private const int JsonGrowth = 4;

    /// <summary>Far more than a request of good will has beside its operations: a put in a transaction is seven values.</summary>
    private const int PlainValues = 65_536;
    private const int ValuesPerOperation = 64;

    private readonly long total = LargestAtATime * Steps(maxBytes, maxValues);
    private long taken;

    public int MaxBytes => maxBytes;

    public int MaxValues => maxValues;

    public static JsonRoom For(EtcdLimits limits) => new(
        (int)Math.Min(int.MaxValue, (long)limits.MaxMessageBytes * JsonGrowth), (int)Math.Min(int.MaxValue, PlainValues + ((long)limits.MaxTxnOperations * ValuesPerOperation)));

    /// <summary>Makes what a value has taken fit its cost as it grows. False: there is no room, and it keeps what it had.</summary>
    public bool TryGrow(ref long held, int bytes, int values)
    {
        long needed = Steps(bytes, values);
        if (needed <= StepBytes || needed <= held)
        {
            return true;
        }

        if (Interlocked.Add(ref taken, needed - held) > total)
        {
            Interlocked.Add(ref taken, held - needed);
            return false;
        }

        held = needed;
        return true;
    }

    public void Give(ref long held)
    {
        Interlocked.Add(ref taken, -held);
        held = 0;
    }

    private static long Steps(int bytes, int values) => (bytes + ((long)values * BytesPerValue) + StepBytes - 1) / StepBytes * StepBytes;
}
