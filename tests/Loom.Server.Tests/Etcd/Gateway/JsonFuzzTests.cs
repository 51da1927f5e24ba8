using System.Buffers;
using System.IO.Pipelines;
using System.Text;
using System.Text.Json;
using Google.Protobuf.Reflection;
using Loom.Server.Etcd.Gateway;

namespace Loom.Server.Tests.Etcd.Gateway;

/// <summary>
/// Goal: whatever a body holds, the gateway reads it or says what is wrong, and its scanner and .NET's parser are of one mind about what JSON is (what the one lets through, the other would meet). Method: valid requests with
/// random damage, and texts put together from JSON's own tokens; each is judged by both.
/// </summary>
[TestFixture]
internal sealed class JsonFuzzTests
{
    private const int Cases = 30_000;

    private static readonly string[] Tokens =
    [
        "{", "}", "[", "]", ",", ":", "\"", "\\", "\\u00e9", "\\ud800", "\\n", "null", "true", "false", "0", "1", "-", "12", ".5", "1.5", "e9", "E-1", " ", "\n", "\"key\"", "\"YQ==\"", "\"limit\"", "\"success\"", "\"request_put\"", "x", "é", "\u0001",
    ];

    private static readonly MethodDescriptor[] Methods = [.. GatewayRoutes.All.Values];

    private static readonly string[] Requests = [.. GatewayScript.Requests().Select(request => request.Body ?? "").Where(body => body.Length > 1)];

    [Test]
    public async Task Any_body_is_read_or_refused()
    {
        var random = new Random(20_261_130);
        int read = 0;
        for (int i = 0; i < Cases; i++)
        {
            byte[] bytes = i % 2 == 0 ? Damaged(random) : Encoding.UTF8.GetBytes(string.Concat(Enumerable.Range(0, random.Next(1, 14)).Select(_ => Tokens[random.Next(Tokens.Length)])));
            (bool whole, ReadOnlyMemory<byte> value) = await FirstAsync(bytes, random.Next(1, bytes.Length + 1));
            Assert.That(whole, Is.EqualTo(IsJson(bytes)), Show(bytes));
            if (!value.IsEmpty)
            {
                read += Reads(value, Methods[random.Next(Methods.Length)], bytes) ? 1 : 0;
            }
        }

        Assert.That(read, Is.GreaterThan(Cases / 20), "most of them must not be refused for the same reason");
    }

    /// <summary>True when the body is exactly one value, with space around it; and the first value, if there is one.</summary>
    private static async Task<(bool Whole, ReadOnlyMemory<byte> First)> FirstAsync(byte[] bytes, int piece)
    {
        var pipe = new Pipe();
        for (int i = 0; i < bytes.Length; i += piece)
        {
            pipe.Writer.Write(bytes.AsSpan(i, Math.Min(piece, bytes.Length - i)));
        }

        await pipe.Writer.CompleteAsync();
        var body = new JsonBody(pipe.Reader, new JsonRoom(1 << 20, 1 << 20), TimeSpan.FromSeconds(20));
        byte[] first = [];
        try
        {
            if (await body.ReadAsync(CancellationToken.None) is not { } value)
            {
                return (false, first);
            }

            first = value.ToArray();
            return (await body.ReadAsync(CancellationToken.None) is null, first);
        }
        catch (JsonBodyException)
        {
            return (false, first);
        }
    }

    private static bool IsJson(byte[] bytes)
    {
        var reader = new Utf8JsonReader(bytes, new JsonReaderOptions { MaxDepth = JsonScanner.MaxDepth });
        try
        {
            while (reader.Read())
            {
                // Structure only, as the scanner: what a string means is judged when it is asked for.
            }

            return true;
        }
        catch (JsonException)
        {
            return false;
        }
    }

    private static bool Reads(ReadOnlyMemory<byte> value, MethodDescriptor method, byte[] bytes)
    {
        try
        {
            JsonRequest.Read(value, method.InputType);
            return true;
        }
        catch (JsonBodyException)
        {
            return false;
        }
        catch (Exception exception)
        {
            Assert.Fail($"{method.FullName}: {exception} for {Show(bytes)}");
            return false;
        }
    }

    private static byte[] Damaged(Random random)
    {
        List<byte> bytes = [.. Encoding.UTF8.GetBytes(Requests[random.Next(Requests.Length)])];
        for (int damages = random.Next(3); damages > 0 && bytes.Count > 1; damages--)
        {
            int at = random.Next(bytes.Count);
            switch (random.Next(4))
            {
                case 0:
                    bytes[at] = (byte)random.Next(256);
                    break;
                case 1:
                    bytes.RemoveAt(at);
                    break;
                case 2:
                    bytes.InsertRange(at, Encoding.UTF8.GetBytes(Tokens[random.Next(Tokens.Length)]));
                    break;
                default:
                    bytes.RemoveRange(at, bytes.Count - at);
                    break;
            }
        }

        return bytes.Count == 0 ? [(byte)'{'] : [.. bytes];
    }

    private static string Show(byte[] bytes) => $"{Encoding.Latin1.GetString(bytes)} ({Convert.ToHexString(bytes)})";
}
