using System.Buffers;
using System.IO.Pipelines;
using System.Net;
using Loom.Raft.Transport;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Https;

namespace Loom.Server.Hosting;

/// <summary>
/// TLS of a client port: certificates as they are at each handshake (<see cref="TlsFiles"/>), a bound on handshakes that are not finished, and an answer for who speaks cleartext here.
/// </summary>
/// <remarks>
/// A connection costs little until its handshake is done, but it does cost: at most <see cref="MaxUnfinished"/> may be in one, each for <see cref="Limit"/>.
/// </remarks>
internal sealed class TlsPort(TlsFiles files, ILogger log)
{
    public const int MaxUnfinished = 1024;
    public static readonly TimeSpan Limit = TimeSpan.FromSeconds(10);

    // Go's server says this, so etcd does.
    private static readonly byte[] CleartextAnswer = "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"u8.ToArray();
    private const byte HandshakeRecord = 0x16;

    private readonly UnfinishedHandshakes<ConnectionContext> unfinished = new(MaxUnfinished);
    private readonly SeldomLine line = new();

    public int Unfinished => unfinished.Count;

    /// <summary>Puts TLS before HTTP on a listening address.</summary>
    public void Use(ListenOptions listen)
    {
        listen.Use(next => connection => BeginAsync(next, connection));
        listen.UseHttps(new TlsHandshakeCallbackOptions
        {
            HandshakeTimeout = Limit,
            OnConnection = context =>
            {
                var check = new TlsCheck();
                context.Connection.Features.Set(check);
                return ValueTask.FromResult(files.ForServer(check));
            },
        });
        listen.Use(next => connection =>
        {
            Finish(connection);
            return next(connection);
        });
    }

    private async Task BeginAsync(ConnectionDelegate next, ConnectionContext connection)
    {
        connection.Features.Set(unfinished.Add(connection, (connection.RemoteEndPoint as IPEndPoint)?.Address, out ConnectionContext? evicted));
        evicted?.Abort(new ConnectionAbortedException("too many TLS handshakes are not finished"));
        try
        {
            if (await SpeaksTlsAsync(connection).ConfigureAwait(false))
            {
                await next(connection).ConfigureAwait(false);
            }
        }
        finally
        {
            // Still there: its handshake failed, and the reason is the client's alone unless the certificate was looked at.
            if (Finish(connection) && connection.Features.Get<TlsCheck>()?.Refusal is { } refusal)
            {
                Complain(connection, refusal);
            }
        }
    }

    private bool Finish(ConnectionContext connection) => unfinished.Remove(connection.Features.Get<LinkedListNode<UnfinishedHandshakes<ConnectionContext>.Entry>>()!);

    /// <summary>Looks at the first byte and gives it back.</summary>
    private async Task<bool> SpeaksTlsAsync(ConnectionContext connection)
    {
        PipeReader input = connection.Transport.Input;
        using var silence = CancellationTokenSource.CreateLinkedTokenSource(connection.ConnectionClosed);
        silence.CancelAfter(Limit);
        try
        {
            ReadResult read = await input.ReadAsync(silence.Token).ConfigureAwait(false);
            if (read.Buffer.IsEmpty)
            {
                input.AdvanceTo(read.Buffer.End);
                return false;
            }

            bool secure = read.Buffer.FirstSpan[0] == HandshakeRecord;
            bool http1 = char.IsAsciiLetterUpper((char)read.Buffer.FirstSpan[0]) && !StartsWith(read.Buffer, "PRI "u8);
            input.AdvanceTo(secure ? read.Buffer.Start : read.Buffer.End);
            if (!secure)
            {
                Complain(connection, "it speaks cleartext, and this port speaks TLS: its URL must begin with https");
                if (http1)
                {
                    await connection.Transport.Output.WriteAsync(CleartextAnswer, silence.Token).ConfigureAwait(false);
                }
            }

            return secure;
        }
        catch (Exception exception) when (exception is OperationCanceledException or IOException)
        {
            return false;
        }
    }

    private static bool StartsWith(in ReadOnlySequence<byte> buffer, ReadOnlySpan<byte> text)
    {
        ReadOnlySpan<byte> first = buffer.FirstSpan;
        return first[..Math.Min(first.Length, text.Length)].SequenceEqual(text[..Math.Min(first.Length, text.Length)]);
    }

    /// <summary>A client that is set up wrongly tries again and again: one line in ten seconds is enough to find it.</summary>
    private void Complain(ConnectionContext connection, string trouble)
    {
        if (line.TryTake())
        {
            log.LogWarning("Refused a client at {Address}: {Trouble}", connection.RemoteEndPoint, trouble);
        }
    }
}
