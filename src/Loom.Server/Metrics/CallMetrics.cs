using System.Collections.Concurrent;
using System.Diagnostics;
using Google.Protobuf;
using Grpc.Core;
using Grpc.Core.Interceptors;

namespace Loom.Server.Metrics;

/// <summary>
/// Counts calls as go-grpc-prometheus does, which etcd uses: started and handled by service, method and code, and with <c>--metrics extensive</c> their times. Calls through the JSON gateway are calls too. Per call it is a
/// look into a table, some increments, and the sizes of both messages.
/// </summary>
internal sealed class CallMetrics(bool measuresTime) : Interceptor
{
    private static readonly double[] Buckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
    private readonly ConcurrentDictionary<string, Counts> methods = new(StringComparer.Ordinal);
    private long received;
    private long sent;

    public override async Task<TResponse> UnaryServerHandler<TRequest, TResponse>(TRequest request, ServerCallContext context, UnaryServerMethod<TRequest, TResponse> continuation)
    {
        Counts counts = Begin(context, "unary");
        Interlocked.Add(ref received, ((IMessage)request).CalculateSize());
        long began = measuresTime ? Stopwatch.GetTimestamp() : 0;
        try
        {
            TResponse response = await continuation(request, context).ConfigureAwait(false);
            Interlocked.Add(ref sent, ((IMessage)response).CalculateSize());
            counts.End(context.Status.StatusCode, began);
            return response;
        }
        catch (Exception exception)
        {
            counts.End(CodeOf(exception), began);
            throw;
        }
    }

    public override Task ServerStreamingServerHandler<TRequest, TResponse>(
        TRequest request, IServerStreamWriter<TResponse> responseStream, ServerCallContext context, ServerStreamingServerMethod<TRequest, TResponse> continuation) =>
        StreamAsync(Begin(context, "server_stream"), context, () => continuation(request, responseStream, context));

    public override Task DuplexStreamingServerHandler<TRequest, TResponse>(
        IAsyncStreamReader<TRequest> requestStream, IServerStreamWriter<TResponse> responseStream, ServerCallContext context, DuplexStreamingServerMethod<TRequest, TResponse> continuation) =>
        StreamAsync(Begin(context, "bidi_stream"), context, () => continuation(requestStream, responseStream, context));

    public void Write(PrometheusText text)
    {
        Counts[] all = [.. methods.Values.OrderBy(method => method.Name, StringComparer.Ordinal)];
        text.Begin("grpc_server_started_total", "counter", "Total number of RPCs started on the server.");
        foreach (Counts method in all)
        {
            text.Sample("grpc_server_started_total", method.Started, method.Labels);
        }

        text.Begin("grpc_server_handled_total", "counter", "Total number of RPCs completed on the server, regardless of success or failure.");
        foreach (Counts method in all)
        {
            method.WriteHandled(text);
        }

        if (measuresTime)
        {
            text.Begin("grpc_server_handling_seconds", "histogram", "Histogram of response latency (seconds) of gRPC that had been application-level handled by the server.");
            foreach (Counts method in all)
            {
                text.Histogram("grpc_server_handling_seconds", method.Time, method.Labels);
            }
        }

        text.Counter("etcd_network_client_grpc_received_bytes_total", "The total number of bytes received from grpc clients (messages of unary calls).", Interlocked.Read(ref received));
        text.Counter("etcd_network_client_grpc_sent_bytes_total", "The total number of bytes sent to grpc clients (messages of unary calls).", Interlocked.Read(ref sent));
    }

    private static async Task StreamAsync(Counts counts, ServerCallContext context, Func<Task> stream)
    {
        try
        {
            await stream().ConfigureAwait(false);
            counts.End(context.Status.StatusCode, 0);
        }
        catch (Exception exception)
        {
            counts.End(CodeOf(exception), 0);
            throw;
        }
    }

    private static StatusCode CodeOf(Exception exception) => exception switch
    {
        RpcException known => known.StatusCode,
        OperationCanceledException => StatusCode.Cancelled,
        _ => StatusCode.Unknown,
    };

    private Counts Begin(ServerCallContext context, string type)
    {
        Counts counts = methods.GetOrAdd(context.Method, static (name, kind) => new Counts(name, kind), type);
        counts.Begin();
        return counts;
    }

    /// <summary>One method. Only methods that exist are called, so there are few.</summary>
    private sealed class Counts
    {
        private static readonly int Codes = Enum.GetValues<StatusCode>().Length;
        private readonly long[] handled = new long[Codes];
        private long started;

        public Counts(string name, string type)
        {
            Name = name;
            string[] parts = name.Split('/');
            Labels = [("grpc_method", parts[^1]), ("grpc_service", parts.Length > 1 ? parts[^2] : ""), ("grpc_type", type)];
        }

        public string Name { get; }

        public (string, string)[] Labels { get; }

        public HistogramCounts Time { get; } = new(Buckets);

        public long Started => Interlocked.Read(ref started);

        public void Begin() => Interlocked.Increment(ref started);

        public void End(StatusCode code, long began)
        {
            Interlocked.Increment(ref handled[Math.Clamp((int)code, 0, Codes - 1)]);
            if (began != 0)
            {
                Time.Record(Stopwatch.GetElapsedTime(began).TotalSeconds);
            }
        }

        public void WriteHandled(PrometheusText text)
        {
            for (int code = 0; code < Codes; code++)
            {
                if (Interlocked.Read(ref handled[code]) is var count && (count > 0 || code == 0))
                {
                    // Go writes one of them with one l.
                    string name = code == (int)StatusCode.Cancelled ? "Canceled" : ((StatusCode)code).ToString();
                    text.Sample("grpc_server_handled_total", count, [("grpc_code", name), .. Labels]);
                }
            }
        }
    }
}
