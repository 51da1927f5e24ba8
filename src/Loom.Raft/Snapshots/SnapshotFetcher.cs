using System.Net.Sockets;
using Loom.Raft.Consensus;
using Loom.Raft.Replica;
using Loom.Raft.Threads;
using Loom.Raft.Transport;
using Microsoft.Extensions.Logging;

namespace Loom.Raft.Snapshots;

/// <summary>Bounds of a fetcher, in ns and bytes; tests shorten them.</summary>
internal sealed record FetchLimits
{
    /// <summary>Connections to one source in a row that bring nothing, before the next source is asked.</summary>
    public int Attempts { get; init; } = 6;

    public long BackOffFirst { get; init; } = 100_000_000;

    public long BackOffMost { get; init; } = 3_000_000_000;

    /// <summary>Pause when nobody can be asked, and after trouble on this side.</summary>
    public long Pause { get; init; } = 500_000_000;

    public long TroublePause { get; init; } = 10_000_000_000;

    /// <summary>How long what was collected is kept when the need ends: a new leader may see the same need.</summary>
    public long KeptTime { get; init; } = 30_000_000_000;

    /// <summary>Longest chunk: about the chunk size, but one record, the largest proposal, may go alone.</summary>
    public int MaxChunkBytes { get; init; } = 136 * 1024 * 1024;
}

/// <summary>
/// Gets a snapshot while the replica needs one (S4): chooses the source, dials it, collects the chunks beside the present state, goes on where it stood when the connection
/// breaks, turns to the next source when one has nothing or sends damage, and hands the whole over. It never gives up while the need lasts.
/// A thread of the host runs it; the loop tells it what is needed.
/// </summary>
internal sealed class SnapshotFetcher(MemberId self, ISnapshotNeed need, FetchLimits limits, Func<long> now, ILogger log)
{
    private readonly object gate = new();
    private readonly Signal changed = new();
    private readonly SourceChoice choice = new(self);
    private long? wanted;
    private long unwantedSince;
    private bool handedOver;
    private bool beginAnew;
    private volatile bool stopping;
    private volatile SnapshotProgress? progress;
    private readonly List<IStateInstallation> settled = [];
    private InboundSnapshot? inbound;

    /// <summary>What is on its way in, or null.</summary>
    public SnapshotProgress? Progress => progress;

    /// <summary>The replica needs a state of this index or later; null: none any more.</summary>
    public void Want(long? minIndex)
    {
        lock (gate)
        {
            if (wanted == minIndex) return;
            if (minIndex is null) unwantedSince = now();
            else beginAnew |= wanted is null;
            wanted = minIndex;
        }
        changed.Set();
        if (minIndex is null) need.HangUp();
    }

    /// <summary>The replica has installed what was handed over, or does not want it: this thread disposes of it.</summary>
    public void Settled(IStateInstallation installation)
    {
        lock (gate)
        {
            (handedOver, beginAnew) = (false, true);
            settled.Add(installation);
        }
        changed.Set();
    }

    /// <summary>Ends <see cref="Run"/>, whatever it waits for, unless it is stuck in the machine.</summary>
    public void Stop()
    {
        stopping = true;
        changed.Set();
        need.HangUp();
    }

    /// <summary>The thread's work, until <see cref="Stop"/>.</summary>
    public void Run()
    {
        try
        {
            while (!stopping)
            {
                DisposeSettled();
                if (Need() is { } minIndex) FetchOnce(minIndex);
                else Idle();
            }
        }
        finally
        {
            Drop();
            DisposeSettled();
        }
    }

    private void DisposeSettled()
    {
        IStateInstallation[] done;
        lock (gate)
        {
            if (settled.Count == 0) return;
            done = [.. settled];
            settled.Clear();
        }
        foreach (IStateInstallation one in done) one.Dispose();
        // If it was discarded, the next one shall not follow in the same breath: whatever was wrong with it needs a moment to pass.
        if (!stopping) _ = changed.Wait(limits.Pause);
    }

    private void Idle()
    {
        bool forgotten;
        lock (gate) forgotten = wanted is null && now() - unwantedSince > limits.KeptTime;
        if (forgotten) Drop();
        _ = changed.Wait(1_000_000_000);
    }

    private long? Need()
    {
        lock (gate)
        {
            if (handedOver || wanted is null) return null;
            if (beginAnew) choice.Begin(now());
            beginAnew = false;
            return wanted;
        }
    }

    /// <summary>The need ended, or what is being collected does not meet it any more.</summary>
    private bool IsOff()
    {
        lock (gate) return stopping || wanted is null || (inbound is not null && inbound.Manifest.At.Index < wanted);
    }

    /// <summary>Asks one source until it has given all, or nothing comes from it any more.</summary>
    private void FetchOnce(long minIndex)
    {
        if (inbound is not null && inbound.Manifest.At.Index < minIndex) Drop();
        if ((inbound?.Source ?? choice.Next(now(), need.Candidates())) is not { } source)
        {
            _ = changed.Wait(limits.Pause);
            return;
        }
        try
        {
            AskRepeatedly(source, minIndex);
        }
        catch (InstallationException e)
        {
            Drop();
            if (e.IsDamage)
            {
                log.LogError("The snapshot that member {Source} sent is damaged ({Error}); another member is asked", source, e.Message);
                choice.Damaged(now(), source);
                return;
            }
            log.LogError(e.InnerException, "Collecting a snapshot failed on this side; it is begun anew");
            choice.Unreachable(now(), source);
            _ = changed.Wait(limits.TroublePause);
        }
    }

    private void AskRepeatedly(MemberId source, long minIndex)
    {
        for (int fruitless = 0; !IsOff();)
        {
            long before = inbound?.Position.Chunks ?? 0;
            try
            {
                using BulkConnection connection = need.Dial(source);
                Ask(connection, source, minIndex);
                return;
            }
            catch (Exception e) when (e is IOException or SocketException or ObjectDisposedException)
            {
                if (IsOff()) return;
                fruitless = inbound is not null && inbound.Position.Chunks > before ? 0 : fruitless + 1;
                if (fruitless >= limits.Attempts || (fruitless > 0 && inbound is null))
                {
                    log.LogWarning("Member {Source} does not give its snapshot ({Reason}); another member is asked", source, e.Message);
                    Drop();
                    choice.Unreachable(now(), source);
                    return;
                }
                log.LogInformation("The snapshot connection to {Source} broke at {Bytes} bytes ({Reason}); it is resumed", source, inbound?.Position.Bytes, e.Message);
                long pause = Math.Min(limits.BackOffMost, limits.BackOffFirst << fruitless);
                for (long until = now() + pause; !IsOff() && now() is var at && at < until;) _ = changed.Wait(until - at);
            }
        }
    }

    private void Ask(BulkConnection connection, MemberId source, long minIndex)
    {
        var request = new SnapshotRequest(minIndex, inbound?.Manifest.Id ?? 0, inbound?.Position ?? TransferPosition.Start);
        TransferCodec.Encode(connection.Begin(), request);
        connection.Send(FrameKind.SnapshotRequest);
        (FrameKind kind, ReadOnlyMemory<byte> body) = connection.Receive(SnapshotManifestCodec.MaxBytes + 64);
        switch (kind)
        {
            case FrameKind.SnapshotRefusal:
                TakeRefusal(source, TransferCodec.DecodeRefusal(body.Span));
                return;
            case FrameKind.SnapshotOffer:
                TakeOffer(source, minIndex, TransferCodec.DecodeOffer(body.Span));
                Receive(connection, source);
                return;
            default:
                throw Unexpected(kind);
        }
    }

    private void TakeRefusal(MemberId source, SnapshotRefusal refusal)
    {
        // Our last connection has not ended there yet: what is collected is as good as before.
        if (refusal.Reason == RefusalReason.Busy && inbound is not null) throw new WireException(refusal.Text);
        log.LogInformation("Member {Source} gives no snapshot: {Reason}", source, refusal.Text);
        Drop();
        choice.Refused(now(), source, refusal);
    }

    private void TakeOffer(MemberId source, long minIndex, SnapshotOffer offer)
    {
        if (inbound is not null)
        {
            if (!offer.Manifest.IsEmpty) throw new WireException("another snapshot where one was to be resumed");
            return;
        }
        SnapshotManifest manifest = Judged(source, minIndex, offer);
        IStateInstallation? installation = null;
        InstallationException.Guard(() => installation = need.BeginInstall(manifest));
        inbound = new InboundSnapshot(source, manifest, installation!, offer.EstimatedBytes);
        log.LogInformation("Member {Source} gives a snapshot of entry {Index}, about {Bytes} bytes", source, manifest.At.Index, offer.EstimatedBytes);
    }

    private SnapshotManifest Judged(MemberId source, long minIndex, SnapshotOffer offer)
    {
        SnapshotManifest manifest;
        try
        {
            manifest = SnapshotManifestCodec.Decode(offer.Manifest.Span);
        }
        catch (InvalidDataException e)
        {
            throw new WireException(e.Message);
        }
        if (manifest.ClusterId != need.ClusterId) throw new WireException($"a snapshot of cluster {manifest.ClusterId:x}, this member belongs to {need.ClusterId:x}");
        if (manifest.Source != source) throw new WireException($"a snapshot captured by {manifest.Source} from {source}");
        return manifest.At.Index >= minIndex ? manifest : throw new WireException($"a snapshot of entry {manifest.At.Index}, entry {minIndex} or later was asked for");
    }

    private void Receive(BulkConnection connection, MemberId source)
    {
        InboundSnapshot mine = inbound!;
        while (!IsOff())
        {
            progress = new SnapshotProgress(source, mine.Position.Bytes, Math.Max(mine.EstimatedBytes, mine.Position.Bytes));
            (FrameKind kind, ReadOnlyMemory<byte> body) = connection.Receive(limits.MaxChunkBytes);
            switch (kind)
            {
                case FrameKind.SnapshotChunk:
                    (long number, StateChunk chunk) = TransferCodec.DecodeChunk(body);
                    mine.Take(number, chunk);
                    break;
                case FrameKind.SnapshotEnd:
                    Finish(connection, mine, TransferCodec.DecodeEnd(body.Span));
                    return;
                case FrameKind.SnapshotRefusal:
                    TakeRefusal(source, TransferCodec.DecodeRefusal(body.Span));
                    return;
                default:
                    throw Unexpected(kind);
            }
        }
    }

    private void Finish(BulkConnection connection, InboundSnapshot mine, SnapshotEnd end)
    {
        if (!mine.IsWhole(end)) throw new InstallationException(new RaftException(RaftErrorCode.Corruption, $"{end.Chunks} chunks were sent and {mine.Position.Chunks} arrived, or not the same"));
        _ = connection.Begin();
        connection.Send(FrameKind.SnapshotDone);
        connection.Dispose();
        mine.Complete();
        IStateInstallation installation = mine.HandOver();
        lock (gate) handedOver = true;
        Drop();
        log.LogInformation("The snapshot of entry {Index} is here and whole: {Bytes} bytes", mine.Manifest.At.Index, mine.Position.Bytes);
        need.Collected(mine.Manifest, installation);
    }

    private void Drop()
    {
        inbound?.Discard();
        inbound = null;
        progress = null;
    }

    private static WireException Unexpected(FrameKind kind) => new($"a frame of kind {(byte)kind} in a snapshot");
}
