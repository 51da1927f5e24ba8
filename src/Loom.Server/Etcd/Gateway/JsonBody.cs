using System.Buffers;
using System.IO.Pipelines;

namespace Loom.Server.Etcd.Gateway;

/// <summary>What is wrong with a body, and the status it is answered with.</summary>
internal sealed class JsonBodyException(Grpc.Core.StatusCode code, string message) : Exception(message)
{
    public Grpc.Core.StatusCode Code { get; } = code;
}

/// <summary>
/// The JSON values of a request's body, one after the other as they arrive. Bounded: a value has a size and a time to arrive in, once it has begun (the first: once it is waited for);
/// between values a client may take as long as it likes, as on a stream of gRPC.
/// </summary>
internal sealed class JsonBody(PipeReader body, int maxValueBytes, TimeSpan patience)
{
    private readonly JsonScanner scanner = new();
    private readonly ArrayBufferWriter<byte> value = new();
    private bool isFirst = true;

    /// <summary>The next value's bytes, valid until the next call; null: the body has ended.</summary>
    /// <exception cref="JsonBodyException">It is not JSON, too large, or too slow.</exception>
    public async ValueTask<ReadOnlyMemory<byte>?> ReadAsync(CancellationToken cancellationToken)
    {
        value.ResetWrittenCount();
        scanner.Reset();
        using var slow = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        while (true)
        {
            if (isFirst || value.WrittenCount > 0)
            {
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
            if (value.WrittenCount + length > maxValueBytes)
            {
                throw new JsonBodyException(Grpc.Core.StatusCode.ResourceExhausted, $"grpc: received message larger than max ({value.WrittenCount + length} vs. {maxValueBytes})");
            }

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
