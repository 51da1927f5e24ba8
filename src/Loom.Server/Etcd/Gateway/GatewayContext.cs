using System.IO.Pipelines;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Primitives;

namespace Loom.Server.Etcd.Gateway;

/// <summary>The request that a gRPC endpoint sees when the gateway calls it: HTTP/2's shape, the headers that mean something to a service, and the connection of the real one.</summary>
internal static class GatewayContext
{
    private const string MetadataPrefix = "Grpc-Metadata-";

    /// <summary>Who calls, and until when. Everything else that HTTP clients send (hosts, agents, cookies) is none of gRPC's metadata.</summary>
    private static readonly string[] Passed = ["authorization", "token", "grpc-timeout"];

    public static HttpContext Create(HttpContext outer, string path, PipeReader requests, PipeWriter responses, IHeaderDictionary answer, CancellationTokenSource lifetime)
    {
        var features = new FeatureCollection();
        features.Set<IHttpRequestFeature>(new HttpRequestFeature { Protocol = "HTTP/2", Method = HttpMethods.Post, Scheme = outer.Request.Scheme, Path = path, Headers = Headers(outer.Request) });
        features.Set<IRequestBodyPipeFeature>(new RequestBody(requests));
        features.Set<IHttpResponseFeature>(new Response(outer) { Headers = answer });
        features.Set<IHttpResponseBodyFeature>(new ResponseBody(responses));
        features.Set<IHttpRequestLifetimeFeature>(new Lifetime(lifetime));
        features.Set(outer.Features.Get<IHttpConnectionFeature>());
        features.Set(outer.Features.Get<ITlsConnectionFeature>());
        return new DefaultHttpContext(features) { RequestServices = outer.RequestServices };
    }

    private static HeaderDictionary Headers(HttpRequest request)
    {
        var headers = new HeaderDictionary { ["Content-Type"] = "application/grpc", ["TE"] = "trailers" };
        foreach ((string name, StringValues values) in request.Headers)
        {
            if (Passed.Contains(name, StringComparer.OrdinalIgnoreCase))
            {
                headers[name] = values;
            }
            else if (name.StartsWith(MetadataPrefix, StringComparison.OrdinalIgnoreCase) && IsMetadata(name[MetadataPrefix.Length..]))
            {
                headers[name[MetadataPrefix.Length..]] = values;
            }
        }

        return headers;
    }

    /// <summary>The names that belong to the protocol itself are not a client's to set through the prefix.</summary>
    private static bool IsMetadata(string name) =>
        name.Length > 0 && !name.StartsWith("grpc-", StringComparison.OrdinalIgnoreCase) && !name.StartsWith("content-", StringComparison.OrdinalIgnoreCase) && !name.Equals("te", StringComparison.OrdinalIgnoreCase);

    private sealed class RequestBody(PipeReader reader) : IRequestBodyPipeFeature
    {
        public PipeReader Reader => reader;
    }

    /// <summary>Never begun: gRPC then leaves its status among the headers, where it is found.</summary>
    private sealed class Response(HttpContext outer) : HttpResponseFeature
    {
        /// <summary>What waits for the end of the answer waits for the one that the client gets.</summary>
        public override void OnCompleted(Func<object, Task> callback, object state) => outer.Response.OnCompleted(callback, state);
    }

    private sealed class ResponseBody(PipeWriter writer) : IHttpResponseBodyFeature
    {
        public Stream Stream { get; } = writer.AsStream(leaveOpen: true);

        public PipeWriter Writer => writer;

        public Task CompleteAsync() => writer.CompleteAsync().AsTask();

        public void DisableBuffering()
        {
            // There is none.
        }

        public Task SendFileAsync(string path, long offset, long? count, CancellationToken cancellationToken = default) => throw new NotSupportedException("a service of gRPC sends messages");

        public Task StartAsync(CancellationToken cancellationToken = default) => Task.CompletedTask;
    }

    private sealed class Lifetime(CancellationTokenSource source) : IHttpRequestLifetimeFeature
    {
        public CancellationToken RequestAborted { get; set; } = source.Token;

        public void Abort() => source.Cancel();
    }
}
