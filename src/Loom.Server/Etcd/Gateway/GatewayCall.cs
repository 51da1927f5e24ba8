using System.Buffers;
using System.Buffers.Binary;
using System.Globalization;
using System.IO.Pipelines;
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Grpc.Core;

namespace Loom.Server.Etcd.Gateway;

/// <summary>
/// One call of a gRPC method in this process: its endpoint runs on a request of ours, with pipes for the messages of both directions. So whatever stands before a service (limits, interceptors,
/// who calls) stands before the gateway too, and a service cannot tell. Both pipes are bounded: a client that does not read holds up its own call.
/// </summary>
internal sealed class GatewayCall : IAsyncDisposable
{
    private const int FrameHeaderBytes = 5;

    private readonly Pipe requests = new();
    private readonly Pipe responses = new();
    private readonly HeaderDictionary answer = [];
    private readonly MethodDescriptor method;
    private readonly CancellationTokenSource lifetime;
    private Task running = Task.CompletedTask;

    private GatewayCall(MethodDescriptor method, CancellationToken aborted)
    {
        this.method = method;
        lifetime = CancellationTokenSource.CreateLinkedTokenSource(aborted);
    }

    /// <summary>How it ended; to be asked when <see cref="ReadAsync"/> gave null.</summary>
    public Status Status
    {
        get
        {
            if (!int.TryParse(answer["grpc-status"], NumberStyles.None, CultureInfo.InvariantCulture, out int code))
            {
                return new Status(StatusCode.Cancelled, "context canceled");
            }

            // gRPC's own words for a passed deadline are Go's in etcd.
            return new Status((StatusCode)code, code == (int)StatusCode.DeadlineExceeded ? "context deadline exceeded" : Uri.UnescapeDataString(answer["grpc-message"].ToString()));
        }
    }

    public static GatewayCall Start(HttpContext outer, Endpoint endpoint, MethodDescriptor method)
    {
        var call = new GatewayCall(method, outer.RequestAborted);
        HttpContext inner = GatewayContext.Create(outer, GatewayRoutes.GrpcPath(method), call.requests.Reader, call.responses.Writer, call.answer, call.lifetime);
        inner.SetEndpoint(endpoint);
        call.running = call.RunAsync(inner, endpoint.RequestDelegate!);
        return call;
    }

    public async ValueTask SendAsync(IMessage message, CancellationToken cancellationToken)
    {
        WriteHeader(requests.Writer.GetSpan(FrameHeaderBytes), message.CalculateSize());
        requests.Writer.Advance(FrameHeaderBytes);
        message.WriteTo(requests.Writer);
        await requests.Writer.FlushAsync(cancellationToken).ConfigureAwait(false);
    }

    /// <summary>The client has no more requests.</summary>
    public ValueTask EndRequestsAsync() => requests.Writer.CompleteAsync();

    /// <summary>The next answer; null: there is none, and <see cref="Status"/> says how it ended.</summary>
    public async ValueTask<IMessage?> ReadAsync(CancellationToken cancellationToken)
    {
        while (true)
        {
            ReadResult read = await responses.Reader.ReadAsync(cancellationToken).ConfigureAwait(false);
            if (TryTake(read.Buffer, out ReadOnlySequence<byte> frame))
            {
                IMessage message = method.OutputType.Parser.ParseFrom(frame);
                responses.Reader.AdvanceTo(frame.End);
                return message;
            }

            responses.Reader.AdvanceTo(read.Buffer.Start, read.Buffer.End);
            if (read.IsCompleted)
            {
                return null;
            }
        }
    }

    /// <summary>Ends the call where it has not ended, and waits for the service.</summary>
    public async ValueTask DisposeAsync()
    {
        await lifetime.CancelAsync().ConfigureAwait(false);
        await requests.Writer.CompleteAsync().ConfigureAwait(false);
        await responses.Reader.CompleteAsync().ConfigureAwait(false);
        await running.ConfigureAwait(false);
        lifetime.Dispose();
    }

    private static void WriteHeader(Span<byte> header, int length)
    {
        header[0] = 0;
        BinaryPrimitives.WriteInt32BigEndian(header[1..], length);
    }

    private static bool TryTake(in ReadOnlySequence<byte> buffer, out ReadOnlySequence<byte> frame)
    {
        frame = default;
        if (buffer.Length < FrameHeaderBytes)
        {
            return false;
        }

        Span<byte> header = stackalloc byte[FrameHeaderBytes];
        buffer.Slice(0, FrameHeaderBytes).CopyTo(header);
        int length = BinaryPrimitives.ReadInt32BigEndian(header[1..]);
        if (buffer.Length - FrameHeaderBytes < length)
        {
            return false;
        }

        frame = buffer.Slice(FrameHeaderBytes, length);
        return true;
    }

    private async Task RunAsync(HttpContext inner, RequestDelegate run)
    {
        try
        {
            await run(inner).ConfigureAwait(false);
        }
#pragma warning disable CA1031 // A call that was aborted may end with anything; that it ended without a status is what its caller sees.
        catch (Exception)
#pragma warning restore CA1031
        {
            await lifetime.CancelAsync().ConfigureAwait(false);
        }
        finally
        {
            await responses.Writer.CompleteAsync().ConfigureAwait(false);
            await requests.Reader.CompleteAsync().ConfigureAwait(false);
        }
    }
}
