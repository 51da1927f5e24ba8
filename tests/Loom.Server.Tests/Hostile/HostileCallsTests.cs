using System.Net;
using System.Text;
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Grpc.Core;
using Grpc.Net.Client;
using Loom.Server.Etcd.Gateway;
using Loom.Server.Etcd.Protos;
using Loom.Server.Tests.Hosting;
using Loom.Testing;
using GrpcMethod = Grpc.Core.Method<byte[], byte[]>;

namespace Loom.Server.Tests.Hostile;

/// <summary>
/// Bytes that no client of good will sends, to every method, over gRPC and as JSON: each call is answered with a status of etcd's, none of them means that a handler threw, and the node serves as before.
/// Eight rounds, times LOOM_ROUNDS. The seed is printed; LOOM_SEED repeats one.
/// </summary>
[TestFixture]
internal sealed class HostileCallsTests
{
    private static readonly int Rounds = 8 * TestRun.Rounds;

    // What a client may not see: a handler that threw.
    private const string Thrown = "Exception was thrown by handler";

    private static readonly TimeSpan Patience = TimeSpan.FromMilliseconds(300);
    private static readonly Marshaller<byte[]> Raw = Marshallers.Create<byte[]>(bytes => bytes, bytes => bytes);

    [Test]
    public async Task Any_bytes_on_grpc_get_an_answer()
    {
        var messages = new RandomMessages(Seed());
        await using TestNode node = await TestNode.StartAsync();
        using GrpcChannel channel = GrpcChannel.ForAddress("http://" + node.Endpoint);
        CallInvoker calls = channel.CreateCallInvoker();
        for (int round = 0; round < Rounds; round++)
        {
            // One of each kind at a time: those that wait for something do so together.
            await Task.WhenAll(Methods().Select(method =>
            {
                byte[] request = messages.Damaged(messages.Next(method.InputType));
                return CallAsync(calls, method, request);
            }));
        }

        await AssertServesAsync(node);
    }

    [Test]
    public async Task Any_text_on_the_gateway_gets_an_answer()
    {
        var messages = new RandomMessages(Seed());
        var json = new JsonFormatter(JsonFormatter.Settings.Default.WithPreserveProtoFieldNames(true));
        await using TestNode node = await TestNode.StartAsync();
        using var http = new HttpClient { BaseAddress = new Uri("http://" + node.Endpoint) };
        for (int round = 0; round < Rounds; round++)
        {
            await Task.WhenAll(GatewayRoutes.All.Where(route => route.Value.Name != "MoveLeader").Select(route =>
                PostAsync(http, "/v3/" + route.Key, messages.Damaged(json.Format(messages.Next(route.Value.InputType))))));
        }

        await AssertServesAsync(node);
    }

    private static int Seed()
    {
        int seed = int.TryParse(Environment.GetEnvironmentVariable("LOOM_SEED"), out int given) ? given : Random.Shared.Next();
        TestContext.Out.WriteLine($"LOOM_SEED={seed}");
        return seed;
    }

    private static IEnumerable<MethodDescriptor> Methods() => GatewayRoutes.All.Values.Distinct();

    private static async Task CallAsync(CallInvoker calls, MethodDescriptor method, byte[] request)
    {
        string what = $"{method.FullName} {Convert.ToHexString(request)}";
        using var patience = new CancellationTokenSource(Patience);
        var options = new CallOptions(deadline: DateTime.UtcNow.AddSeconds(10), cancellationToken: patience.Token);
        try
        {
            var raw = new GrpcMethod(method.IsServerStreaming ? MethodType.DuplexStreaming : MethodType.Unary, method.Service.FullName, method.Name, Raw, Raw);
            if (raw.Type == MethodType.Unary)
            {
                await calls.AsyncUnaryCall(raw, null, options, request);
                return;
            }

            using AsyncDuplexStreamingCall<byte[], byte[]> call = calls.AsyncDuplexStreamingCall(raw, null, options);
            await call.RequestStream.WriteAsync(request, CancellationToken.None);
            await call.RequestStream.CompleteAsync();
            while (await call.ResponseStream.MoveNext(patience.Token))
            {
            }
        }
        catch (RpcException exception)
        {
            // Bytes that are no message fail in gRPC's own reader, before any handler.
            Assert.That(!exception.Status.Detail.Contains(Thrown, StringComparison.Ordinal) || !IsMessage(method, request), what);
            Assert.That(exception.StatusCode, Is.Not.EqualTo(StatusCode.Internal), $"{exception.Status}: {what}");
        }
        catch (OperationCanceledException)
        {
            // It waits for something, as a watch does, and was given up.
        }
    }

    private static bool IsMessage(MethodDescriptor method, byte[] bytes)
    {
        try
        {
            method.InputType.Parser.ParseFrom(bytes);
            return true;
        }
        catch (InvalidProtocolBufferException)
        {
            return false;
        }
    }

    private static async Task PostAsync(HttpClient http, string path, string body)
    {
        using var patience = new CancellationTokenSource(Patience);
        try
        {
            using var content = new StringContent(body, Encoding.UTF8, "application/json");
            using HttpResponseMessage answer = await http.PostAsync(path, content, patience.Token);
            string text = await answer.Content.ReadAsStringAsync(patience.Token);
            Assert.That(answer.StatusCode == HttpStatusCode.InternalServerError && text.Contains(Thrown, StringComparison.Ordinal), Is.False, $"{path} {body}: {text}");

            // No message at all is a stream without requests, and so without answers.
            Assert.That(text, body.Trim().Length == 0 ? Is.Not.Null : Is.Not.Empty, $"{(int)answer.StatusCode} {path} {body}");
        }
        catch (OperationCanceledException)
        {
        }
    }

    private static async Task AssertServesAsync(TestNode node)
    {
        // The calls may have raised an alarm, which refuses puts and no reads.
        await node.Kv.RangeAsync(new RangeRequest { Key = ByteString.CopyFromUtf8("a") }, deadline: DateTime.UtcNow.AddSeconds(5));
        for (int i = 0; i < 100 && node.Store.Status.Watches > 0; i++)
        {
            await Task.Delay(50);
        }

        Assert.That(node.Store.Status.Watches, Is.Zero, "watches of clients that have gone");
    }
}
