using System.Buffers;
using System.IO.Pipelines;
using System.Security.Cryptography.X509Certificates;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core.Features;

namespace Loom.Server.Hosting;

/// <summary>
/// h2c (gRPC) and HTTP/1.1 on one cleartext port, as etcd does. Kestrel chooses the protocol of a connection before its first byte arrives, so this reads the
/// first bytes, gives them back, and if they are HTTP/2's preface tells Kestrel what ALPN would have told it.
/// </summary>
/// <remarks>
/// Kestrel's own time-outs start behind this, so a connection that says nothing has a bound of its own here: it costs one pending read for
/// <see cref="SilenceTimeout"/>. At most <see cref="MaxUndecided"/> connections may be undecided; more are closed at once.
/// </remarks>
internal sealed class OnePort
{
    public const int MaxUndecided = 4096;
    public static readonly TimeSpan SilenceTimeout = TimeSpan.FromSeconds(10);

    private static readonly byte[] Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"u8.ToArray();
    private readonly TimeSpan timeout;
    private int undecided;

    public OnePort(TimeSpan? timeout = null)
    {
        this.timeout = timeout ?? SilenceTimeout;
    }

    public int Undecided => Volatile.Read(ref undecided);

    public async Task RunAsync(ConnectionDelegate next, ConnectionContext connection)
    {
        bool? http2;
        try
        {
            if (Interlocked.Increment(ref undecided) > MaxUndecided)
            {
                return;
            }

            http2 = await DecideAsync(connection).ConfigureAwait(false);
        }
        finally
        {
            Interlocked.Decrement(ref undecided);
        }

        if (http2 is null)
        {
            return;
        }

        if (http2 == true)
        {
            connection.Features.Set<ITlsConnectionFeature>(NoCertificate.Instance);
            connection.Features.Set<ITlsApplicationProtocolFeature>(Http2Protocol.Instance);
        }

        await next(connection).ConfigureAwait(false);
    }

    /// <summary>Null: the peer went away, or said nothing for too long.</summary>
    private async ValueTask<bool?> DecideAsync(ConnectionContext connection)
    {
        PipeReader input = connection.Transport.Input;
        using var silence = CancellationTokenSource.CreateLinkedTokenSource(connection.ConnectionClosed);
        silence.CancelAfter(timeout);
        try
        {
            while (true)
            {
                ReadResult read = await input.ReadAsync(silence.Token).ConfigureAwait(false);
                bool? decided = Compare(read.Buffer);
                if (decided is not null)
                {
                    input.AdvanceTo(read.Buffer.Start);
                    return decided;
                }

                input.AdvanceTo(read.Buffer.Start, read.Buffer.End);
                if (read.IsCompleted || read.IsCanceled)
                {
                    return null;
                }
            }
        }
        catch (OperationCanceledException)
        {
            return null;
        }
        catch (Exception exception) when (exception is IOException or ConnectionResetException or ConnectionAbortedException)
        {
            return null;
        }
    }

    /// <summary>True: the whole preface; false: a byte differs (POST and PUT begin with P as well); null: not enough bytes.</summary>
    private static bool? Compare(in ReadOnlySequence<byte> buffer)
    {
        Span<byte> first = stackalloc byte[Preface.Length];
        int length = (int)Math.Min(buffer.Length, first.Length);
        buffer.Slice(0, length).CopyTo(first);
        if (!first[..length].SequenceEqual(Preface.AsSpan(0, length)))
        {
            return false;
        }

        return length == Preface.Length ? true : null;
    }

    private sealed class NoCertificate : ITlsConnectionFeature
    {
        public static readonly NoCertificate Instance = new();

        public X509Certificate2? ClientCertificate
        {
            get => null;
            set => throw new NotSupportedException();
        }

        public Task<X509Certificate2?> GetClientCertificateAsync(CancellationToken cancellationToken) => Task.FromResult<X509Certificate2?>(null);
    }

    private sealed class Http2Protocol : ITlsApplicationProtocolFeature
    {
        public static readonly Http2Protocol Instance = new();

        public ReadOnlyMemory<byte> ApplicationProtocol { get; } = "h2"u8.ToArray();
    }
}
