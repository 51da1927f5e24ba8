using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Loom.Server.Tests.Hosting;

/// <summary>Requests as bytes on an h2c connection: .NET's client drops an authority that it finds wrong, so it cannot send one.</summary>
internal sealed class RawHttp2 : IDisposable
{
    private const byte Data = 0, Headers = 1, ResetStream = 3, Settings = 4, GoAway = 7;
    private const byte EndStream = 1, Acknowledgement = 1, EndHeaders = 4;
    private readonly TcpClient client = new() { NoDelay = true };
    private readonly CancellationTokenSource patience = new(TimeSpan.FromSeconds(20));
    private int lastStream = -1;

    public static async Task<RawHttp2> ConnectAsync(string endpoint)
    {
        var raw = new RawHttp2();
        await raw.client.ConnectAsync(IPEndPoint.Parse(endpoint));
        await raw.Stream.WriteAsync("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"u8.ToArray());
        await raw.WriteFrameAsync(Settings, 0, 0, []);
        return raw;
    }

    /// <summary>Begins GET /version; gives the stream's number. The authority's name is one of HPACK's static table, or spelled out.</summary>
    public async Task<int> GetVersionAsync(string authority, bool spelledName = false)
    {
        byte[] name = spelledName ? [0, 10, .. ":authority"u8] : [1];
        byte[] value = Encoding.Latin1.GetBytes(authority);
        Assert.That(value, Has.Length.LessThan(127), "an HPACK length of one byte");
        byte[] path = [.. "/version"u8];

        // 0x82 is :method GET, 0x86 is :scheme http, 4 is the name :path.
        byte[] block = [0x82, 0x86, 4, (byte)path.Length, .. path, .. name, (byte)value.Length, .. value];
        await WriteFrameAsync(Headers, EndStream | EndHeaders, lastStream += 2, block);
        return lastStream;
    }

    /// <summary>What became of this many streams: "200" or "reset CODE".</summary>
    /// <exception cref="IOException">The server ended the connection ("goaway CODE").</exception>
    public async Task<Dictionary<int, string>> AnswersAsync(int count)
    {
        var answers = new Dictionary<int, string>();
        byte[] header = new byte[9];
        while (answers.Count < count)
        {
            await Stream.ReadExactlyAsync(header, patience.Token);
            byte[] payload = new byte[(header[0] << 16) | (header[1] << 8) | header[2]];
            await Stream.ReadExactlyAsync(payload, patience.Token);
            int stream = BinaryPrimitives.ReadInt32BigEndian(header.AsSpan(5));
            switch (header[3])
            {
                case Settings when (header[4] & Acknowledgement) == 0:
                    await WriteFrameAsync(Settings, Acknowledgement, 0, []);
                    break;
                case Headers:
                    Assert.That(payload[0], Is.EqualTo(0x88), "HPACK's :status 200");
                    answers.Add(stream, "200");
                    break;
                case ResetStream:
                    answers.Add(stream, $"reset {BinaryPrimitives.ReadInt32BigEndian(payload)}");
                    break;
                case GoAway:
                    throw new IOException($"goaway {BinaryPrimitives.ReadInt32BigEndian(payload.AsSpan(4))}");
                case Data:
                default:
                    break;
            }
        }

        return answers;
    }

    public void Dispose()
    {
        client.Dispose();
        patience.Dispose();
    }

    private NetworkStream Stream => client.GetStream();

    private Task WriteFrameAsync(byte type, byte flags, int stream, byte[] payload)
    {
        byte[] frame = [(byte)(payload.Length >> 16), (byte)(payload.Length >> 8), (byte)payload.Length, type, flags, 0, 0, 0, 0, .. payload];
        BinaryPrimitives.WriteInt32BigEndian(frame.AsSpan(5), stream);
        return Stream.WriteAsync(frame, patience.Token).AsTask();
    }
}
