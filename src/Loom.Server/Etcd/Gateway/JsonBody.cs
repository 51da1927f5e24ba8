using System.Buffers;
using System.IO.Pipelines;
using Loom.Server.Etcd.Translation;

namespace Loom.Server.Etcd.Gateway;

/// <summary>What is wrong with a body, and the status it is answered with.</summary>
internal sealed class JsonBodyException(Grpc.Core.StatusCode code, string message) : Exception(message)
{
    public Grpc.Core.StatusCode Code { get; } = code;
}

/// <summary>
/// The JSON values of a request's body, one after the other as they arrive. Bounded: a value has a size, a number of values in it (<see cref="JsonRoom"/>) and a time to arrive in, once it has begun (the first: once it
/// is waited for); between values a client may take as long as it likes, as on a stream of gRPC.
/// </summary>
internal sealed class JsonBody(PipeReader body, JsonRoom room, TimeSpan patience)
{
    private readonly JsonScanner scanner = new();
    private ArrayBufferWriter<byte> value = new();
    private bool isFirst = true;
    private long held;

    /// <summary>The next value's bytes, valid until the next call; null: the body has ended.</summary>
    /// <exception cref="JsonBodyException">It is not JSON, too large, or too slow, or there is no room for it now.</exception>
    public async ValueTask<ReadOnlyMemory<byte>?> ReadAsync(CancellationToken cancellationToken)
    {
        Release();
        scanner.Reset();
        using var slow = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        bool isArmed = false;
        while (true)
        {
            if (!isArmed && (isFirst || value.WrittenCount > 0))
            {
                // Once for a value: else a byte now and then would keep it alive.
                isArmed = true;
                isFirst = false;
                slow.CancelAfter(patience);
            }

            ReadResult read = await ReadMoreAsync(slow.Token, cancellationToken).ConfigureAwait(false);
            SequencePosition consumed = read.Buffer.End;
            bool done;
            try
            {
                done = Take(read.Buffer, out consumed);
            }
            finally
            {
                body.AdvanceTo(consumed);
            }

            if (done)
            {
                return value.WrittenMemory;
            }

            if (read.IsCompleted && value.WrittenCount == 0)
            {
                return null;
            }

            if (read.IsCompleted)
            {
                return scanner.MayEnd ? value.WrittenMemory : throw new JsonBodyException(Grpc.Core.StatusCode.InvalidArgument, "unexpected EOF");
            }
        }
    }

    /// <summary>The last value is needed no more.</summary>
    public void Release()
    {
        if (held > 0)
        {
            // Its buffer goes, too: the body may be a stream's, and stay for days.
            value = new ArrayBufferWriter<byte>();
            room.Give(ref held);
        }

        value.ResetWrittenCount();
    }

    private async ValueTask<ReadResult> ReadMoreAsync(CancellationToken slow, CancellationToken cancellationToken)
    {
        try
        {
            return await body.ReadAsync(slow).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            throw new JsonBodyException(Grpc.Core.StatusCode.DeadlineExceeded, $"the request's body did not arrive within {patience.TotalSeconds} s");
        }
        catch (BadHttpRequestException exception)
        {
            throw new JsonBodyException(Grpc.Core.StatusCode.InvalidArgument, exception.Message);
        }
    }

    /// <summary>True: a value is whole. All before <paramref name="consumed"/> is taken.</summary>
    private bool Take(in ReadOnlySequence<byte> buffer, out SequencePosition consumed)
    {
        long position = 0;
        foreach (ReadOnlyMemory<byte> segment in buffer)
        {
            ReadOnlySpan<byte> bytes = segment.Span;
            int begin = value.WrittenCount == 0 ? bytes.Length - bytes.TrimStart(" \t\r\n"u8).Length : 0;
            int length = Scan(bytes[begin..]);
            RequireRoom(value.WrittenCount + length);
            value.Write(bytes.Slice(begin, length));
            position += begin + length;
            if (scanner.IsDone)
            {
                consumed = buffer.GetPosition(position);
                return true;
            }
        }

        consumed = buffer.End;
        return false;
    }

    private void RequireRoom(int bytes)
    {
        string? trouble = bytes > room.MaxBytes ? $"grpc: received message larger than max ({bytes} vs. {room.MaxBytes})"
            : scanner.Values > room.MaxValues ? $"grpc: received message larger than max ({scanner.Values} vs. {room.MaxValues} JSON values)"
            : !room.TryGrow(ref held, bytes, scanner.Values) ? EtcdError.TooManyRequests
            : null;
        if (trouble is not null)
        {
            throw new JsonBodyException(Grpc.Core.StatusCode.ResourceExhausted, trouble);
        }
    }

    /// <summary>How many of these bytes belong to the value.</summary>
    private int Scan(ReadOnlySpan<byte> bytes)
    {
        for (int i = 0; i < bytes.Length; i++)
        {
            if (!scanner.Take(bytes[i]))
            {
                throw new JsonBodyException(Grpc.Core.StatusCode.InvalidArgument, scanner.Error!);
            }

            if (scanner.IsDone)
            {
                return scanner.EndedBefore ? i : i + 1;
            }
        }

        return bytes.Length;
    }
}
