using System.IO.Pipelines;
using System.Text;
using Grpc.Core;
using Loom.Server.Etcd.Gateway;

namespace Loom.Server.Tests.Etcd.Gateway;

/// <summary>Bodies as they may come: in pieces of any size, several values, endless, slow, nested without end.</summary>
[TestFixture]
internal sealed class JsonBodyTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    private static readonly string[] Values =
    [
        """{"a":[1,2.5e-3,{"b":null}],"c":"x\"\\\u00e9}{","d":true}""", "[]", "{}", "-0.1E+5", "0", "12", "\"\"", "null", "false", "[[[]]]", """{"a":{"a":{"a":{}}}}""", "1e9",
    ];

    [Test]
    public async Task Values_are_found_whatever_the_pieces([Values(1, 2, 3, 7, 1000)] int piece, [Values("", " ", "\n\t")] string between)
    {
        // Only a number needs something behind it: a space keeps it from the next one.
        string text = string.Concat(Values.Select(value => value + " " + between));
        Assert.That(await ReadAllAsync(text, piece), Is.EqualTo(Values));
    }

    [Test]
    public async Task Values_need_nothing_between_them()
    {
        Assert.That(await ReadAllAsync("""{"a":1}{"b":2}[3]"x"5[4]null{}""", 3), Is.EqualTo((string[])["""{"a":1}""", """{"b":2}""", "[3]", "\"x\"", "5", "[4]", "null", "{}"]));
    }

    [TestCase("{\"a\":1", "unexpected EOF")]
    [TestCase("-", "unexpected EOF")]
    [TestCase("1.", "unexpected EOF")]
    [TestCase("nul", "unexpected EOF")]
    [TestCase("}", "invalid character '}' looking for beginning of value")]
    [TestCase("\u0001", "invalid character '\\x01' looking for beginning of value")]
    [TestCase("{\"a\":1]", "invalid character ']' after object key:value pair")]
    [TestCase("[1}", "invalid character '}' after array element")]
    [TestCase("01", "")]
    public async Task What_is_wrong_is_said_as_Go_says_it(string text, string error)
    {
        if (error.Length == 0)
        {
            Assert.That(await ReadAllAsync(text, 1), Is.EqualTo((string[])["0", "1"]), "two numbers");
            return;
        }

        JsonBodyException exception = (await Assert.ThrowsAsync<JsonBodyException>(async () => await ReadAllAsync(text, 1)))!;
        Assert.That((exception.Code, exception.Message), Is.EqualTo((StatusCode.InvalidArgument, error)));
    }

    [Test]
    public async Task Nesting_is_bounded()
    {
        Assert.That(await ReadAllAsync(new string('[', 100) + new string(']', 100), 1000), Has.Count.EqualTo(1));
        JsonBodyException exception = (await Assert.ThrowsAsync<JsonBodyException>(async () => await ReadAllAsync(new string('[', 1_000_000), 4096)))!;
        Assert.That(exception.Message, Is.EqualTo("exceeded max depth"));
    }

    [Test]
    public async Task A_value_has_a_size_and_a_body_has_none()
    {
        string value = "\"" + new string('x', 900) + "\"";
        Assert.That(await ReadAllAsync(string.Concat(Enumerable.Repeat(value, 100)), 777), Has.Count.EqualTo(100));
        JsonBodyException exception = (await Assert.ThrowsAsync<JsonBodyException>(async () => await ReadAllAsync("\"" + new string('x', 5000) + "\"", 100)))!;
        Assert.That(exception.Code, Is.EqualTo(StatusCode.ResourceExhausted));
    }

    [Test]
    public async Task A_value_that_has_begun_must_end()
    {
        var pipe = new Pipe();
        var body = new JsonBody(pipe.Reader, new JsonRoom(1000, 400), TimeSpan.FromMilliseconds(50));
        await pipe.Writer.WriteAsync("{\"a\":"u8.ToArray());
        JsonBodyException exception = (await Assert.ThrowsAsync<JsonBodyException>(async () => await body.ReadAsync(CancellationToken.None)))!;
        Assert.That(exception.Code, Is.EqualTo(StatusCode.DeadlineExceeded));
    }

    [Test]
    public async Task Between_values_a_client_may_wait()
    {
        var pipe = new Pipe();
        var body = new JsonBody(pipe.Reader, new JsonRoom(1000, 400), TimeSpan.FromMilliseconds(50));
        await pipe.Writer.WriteAsync("{}"u8.ToArray());
        Assert.That(await body.ReadAsync(CancellationToken.None), Is.Not.Null);
        Task<ReadOnlyMemory<byte>?> second = body.ReadAsync(CancellationToken.None).AsTask();
        await Task.Delay(150);
        Assert.That(second.IsCompleted, Is.False);
        await pipe.Writer.WriteAsync("[]"u8.ToArray());
        Assert.That(await second, Is.Not.Null);
    }

    [Test]
    public async Task A_byte_now_and_then_keeps_no_value_alive()
    {
        var pipe = new Pipe();
        var body = new JsonBody(pipe.Reader, new JsonRoom(1000, 400), TimeSpan.FromMilliseconds(200));
        Task<ReadOnlyMemory<byte>?> reading = body.ReadAsync(CancellationToken.None).AsTask();
        for (int i = 0; i < 900 && !reading.IsCompleted; i++)
        {
            await pipe.Writer.WriteAsync(i == 0 ? "\""u8.ToArray() : "x"u8.ToArray());
            await Task.Delay(5);
        }

        Assert.That(reading.IsCompleted, "given up while bytes came");
        Assert.That((await Assert.ThrowsAsync<JsonBodyException>(async () => await reading))!.Code, Is.EqualTo(StatusCode.DeadlineExceeded));
    }

    [Test]
    public async Task The_values_in_a_value_are_counted_before_anything_is_made_of_them()
    {
        Assert.That(await ReadAllAsync("[" + string.Join(',', Enumerable.Repeat("1", 399)) + "]", 100), Has.Count.EqualTo(1));
        JsonBodyException exception = (await Assert.ThrowsAsync<JsonBodyException>(async () => await ReadAllAsync("[" + string.Join(',', Enumerable.Repeat("1", 400)) + "]", 100)))!;
        Assert.That((exception.Code, exception.Message), Is.EqualTo((StatusCode.ResourceExhausted, "grpc: received message larger than max (401 vs. 400 JSON values)")));
    }

    [Test]
    public async Task All_large_values_at_a_time_have_a_bound_and_small_ones_always_pass()
    {
        var room = new JsonRoom(1 << 20, 1);
        byte[] large = Encoding.UTF8.GetBytes("\"" + new string('x', (1 << 20) - 2) + "\"");
        var held = new List<JsonBody>();
        for (int i = 0; i < 4; i++)
        {
            held.Add(BodyOf(room, large));
            Assert.That(await held[i].ReadAsync(CancellationToken.None), Is.Not.Null);
        }

        JsonBody late = BodyOf(room, large);
        JsonBodyException exception = (await Assert.ThrowsAsync<JsonBodyException>(async () => await late.ReadAsync(CancellationToken.None)))!;
        Assert.That((exception.Code, exception.Message), Is.EqualTo((StatusCode.ResourceExhausted, "etcdserver: too many requests")));
        Assert.That(await BodyOf(room, "{}"u8.ToArray()).ReadAsync(CancellationToken.None), Is.Not.Null, "a small one");
        foreach (JsonBody body in held.Append(late))
        {
            body.Release();
        }

        Assert.That(await BodyOf(room, large).ReadAsync(CancellationToken.None), Is.Not.Null, "when there is room again");
    }

    private static JsonBody BodyOf(JsonRoom room, byte[] bytes) => new(PipeReader.Create(new MemoryStream(bytes)), room, Patience);

    private static async Task<List<string>> ReadAllAsync(string text, int piece)
    {
        var pipe = new Pipe(new PipeOptions(pauseWriterThreshold: 0));
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        Task writing = Task.Run(async () =>
        {
            for (int i = 0; i < bytes.Length; i += piece)
            {
                await pipe.Writer.WriteAsync(bytes.AsMemory(i, Math.Min(piece, bytes.Length - i)));
            }

            await pipe.Writer.CompleteAsync();
        });
        var body = new JsonBody(pipe.Reader, new JsonRoom(1000, 400), Patience);
        var values = new List<string>();
        try
        {
            while (await body.ReadAsync(CancellationToken.None) is { } value)
            {
                values.Add(Encoding.UTF8.GetString(value.Span));
            }
        }
        finally
        {
            await pipe.Reader.CompleteAsync();
            await writing;
        }

        return values;
    }
}
