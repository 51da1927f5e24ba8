using System.Net.Sockets;
using Loom.Raft.Consensus;
using Loom.Raft.Replica;
using Loom.Raft.Transport;
using Microsoft.Extensions.Logging;

namespace Loom.Raft.Snapshots;

/// <summary>Bounds of a source (S4), in ns and bytes; tests shorten them.</summary>
internal sealed record SourceLimits
{
    /// <summary>Captures held at a time: each keeps memory that compaction cannot free.</summary>
    public int Captures { get; init; } = 2;

    /// <summary>How long a capture waits for a receiver whose connection broke.</summary>
    public long IdleTime { get; init; } = 60_000_000_000;

    /// <summary>How long a capture may be held in all.</summary>
    public long Age { get; init; } = 600_000_000_000;

    /// <summary>How long the replica may take to capture: the applier is in the middle of a batch.</summary>
    public long CaptureTime { get; init; } = 10_000_000_000;

    /// <summary>Bytes of one chunk, so that one with a usual cursor fits into one frame, and its array is no large object.</summary>
    public int ChunkBytes { get; init; } = 60 * 1024;
}

/// <summary>
/// Gives this member's state to others (S4): captures it, streams it in chunks, and keeps the capture for a while when the connection breaks, so that the receiver goes on
/// where it stood. At most two receivers; applying and serving go on meanwhile. Called on the connections' own threads, one per receiver.
/// </summary>
internal sealed class SnapshotSource(ISnapshotOrigin origin, SnapshotPace pace, SourceLimits limits, Func<long> now, ILogger log)
{
    // Larger than any request: the cursor in it is as long as a key, and keys have no limit of their own but the proposal's.
    private const int MaxRequestBytes = 68 * 1024 * 1024;

    private readonly object gate = new();
    private readonly List<OutboundSnapshot> outbound = [];
    private bool closing;

    /// <summary>Captures that are held, sending or waiting.</summary>
    public int Held
    {
        get
        {
            lock (gate) return outbound.Count;
        }
    }

    /// <summary>Serves one connection until it ends; then its thread watches over the capture until that is resumed or given up.</summary>
    public void Serve(BulkConnection connection)
    {
        OutboundSnapshot? mine = null;
        bool done = false;
        try
        {
            SnapshotRequest request = ReceiveRequest(connection);
            SnapshotRefusal? refusal = Admit(connection.Peer, request, out mine);
            done = mine is null ? Refuse(connection, refusal!) : Give(connection, mine, request);
        }
        catch (Exception e) when (e is IOException or SocketException or ObjectDisposedException)
        {
            log.LogInformation("The snapshot connection of {Peer} ended at {Bytes} bytes: {Reason}", connection.Peer, mine?.Position.Bytes ?? 0, e.Message);
        }
        finally
        {
            connection.Dispose();
            if (mine is not null) Leave(mine, done);
        }
    }

    /// <summary>Nothing is sent any more; returns when no capture is held, so that the machine may close. False: one is stuck in the machine.</summary>
    public bool Close(long until)
    {
        lock (gate)
        {
            closing = true;
            Monitor.PulseAll(gate);
            while (outbound.Count > 0 && now() < until) Monitor.Wait(gate, 10);
            return outbound.Count == 0;
        }
    }

    private static SnapshotRequest ReceiveRequest(BulkConnection connection)
    {
        (FrameKind kind, ReadOnlyMemory<byte> body) = connection.Receive(MaxRequestBytes);
        if (kind != FrameKind.SnapshotRequest) throw new WireException($"a frame of kind {(byte)kind} where a snapshot request belongs");
        return TransferCodec.DecodeRequest(body.Span);
    }

    /// <summary>Finds what is resumed, or a place for a new capture. Not null: refused.</summary>
    private SnapshotRefusal? Admit(MemberId receiver, SnapshotRequest request, out OutboundSnapshot? mine)
    {
        mine = null;
        OutboundSnapshot? given = null;
        lock (gate)
        {
            OutboundSnapshot? before = outbound.Find(o => o.Receiver == receiver);
            // Its last connection is dead, or it would not have made another; the thread there finds out in a moment.
            for (int tries = 0; before is { Sending: true } && !closing && tries < 200; tries++)
            {
                Monitor.Wait(gate, 10);
                before = outbound.Find(o => o.Receiver == receiver);
            }
            if (closing) return new SnapshotRefusal(RefusalReason.Closing, 0, "the member is closing");
            if (before is { Sending: true }) return new SnapshotRefusal(RefusalReason.Busy, 0, "the last transfer to the same member has not ended yet");
            if (request.Resume != 0) return Resume(before, request, out mine);
            if (origin.Refuse(request.MinIndex) is { } refusal) return refusal;
            given = before ?? (outbound.Count < limits.Captures ? null : outbound.Where(o => !o.Sending).MinBy(o => o.IdleSince));
            if (given is null && outbound.Count >= limits.Captures) return new SnapshotRefusal(RefusalReason.Busy, 0, $"it gives snapshots to {outbound.Count} members already");
            if (given is not null) given.Sending = true;
            outbound.Add(mine = new OutboundSnapshot(receiver, now()));
        }
        if (given is not null) Drop(given);
        return null;
    }

    private static SnapshotRefusal? Resume(OutboundSnapshot? kept, SnapshotRequest request, out OutboundSnapshot? mine)
    {
        mine = null;
        if (kept?.Captured is not { } captured || captured.Manifest.Id != request.Resume) return new SnapshotRefusal(RefusalReason.Unknown, 0, "that snapshot is not kept here any more");
        if (!kept.ReturnTo(request.Position)) return new SnapshotRefusal(RefusalReason.Unknown, 0, $"chunk {request.Position.Chunks} of that snapshot was not sent like that from here");
        kept.Sending = true;
        mine = kept;
        return null;
    }

    /// <summary>True: the transfer is over, well or not, and the capture is not needed any more.</summary>
    private bool Give(BulkConnection connection, OutboundSnapshot mine, SnapshotRequest request)
    {
        bool resumed = mine.Captured is not null;
        mine.Captured ??= Capture();
        if (mine.Captured is not { } captured) return Refuse(connection, new SnapshotRefusal(RefusalReason.Failed, 0, "the state could not be captured"));
        if (captured.Manifest.At.Index < request.MinIndex)
            return Refuse(connection, new SnapshotRefusal(RefusalReason.TooOld, 0, $"its state stands at entry {captured.Manifest.At.Index}, entry {request.MinIndex} or later is needed"));
        log.LogInformation("Member {Peer} is given the state of entry {Index}, from byte {From} of about {Bytes}", connection.Peer, captured.Manifest.At.Index, mine.Position.Bytes, captured.State.EstimatedBytes);
        TransferCodec.Encode(connection.Begin(), new SnapshotOffer(captured.State.EstimatedBytes, resumed ? default : SnapshotManifestCodec.Encode(captured.Manifest)));
        connection.Send(FrameKind.SnapshotOffer);
        return Stream(connection, mine, captured.State);
    }

    private bool Stream(BulkConnection connection, OutboundSnapshot mine, IStateSnapshot state)
    {
        while (true)
        {
            if (now() - mine.Since > limits.Age) return Refuse(connection, new SnapshotRefusal(RefusalReason.Expired, 0, "the snapshot has been held for as long as one may be"));
            StateChunk? chunk;
            try
            {
                chunk = state.Read(mine.Position.Cursor, limits.ChunkBytes);
            }
            catch (Exception e)
            {
                // The state is damaged, or was taken back by compaction: whatever it is, nothing more comes from here.
                log.LogError(e, "Reading the snapshot for member {Peer} failed", connection.Peer);
                return Refuse(connection, new SnapshotRefusal(RefusalReason.Failed, 0, $"reading its state failed: {e.Message}"));
            }
            if (chunk is null) return End(connection, mine);
            mine.Advance(chunk);
            TransferCodec.Encode(connection.Begin(), mine.Position.Chunks, chunk);
            connection.Send(FrameKind.SnapshotChunk);
            Pause(pace.Spend(now(), chunk.Bytes.Length + chunk.Cursor.Length));
        }
    }

    private bool End(BulkConnection connection, OutboundSnapshot mine)
    {
        TransferPosition position = mine.Position;
        TransferCodec.Encode(connection.Begin(), new SnapshotEnd(position.Chunks, position.Bytes, position.Hash));
        connection.Send(FrameKind.SnapshotEnd);
        // Until the receiver says so the last chunks may be lost with the connection.
        (FrameKind kind, _) = connection.Receive(0);
        if (kind != FrameKind.SnapshotDone) throw new WireException($"a frame of kind {(byte)kind} where a snapshot is acknowledged");
        log.LogInformation("Member {Peer} has the whole snapshot: {Chunks} chunks, {Bytes} bytes in {Seconds:F1} s", connection.Peer, position.Chunks, position.Bytes, (now() - mine.Since) / 1e9);
        return true;
    }

    private static bool Refuse(BulkConnection connection, SnapshotRefusal refusal)
    {
        TransferCodec.Encode(connection.Begin(), refusal);
        connection.Send(FrameKind.SnapshotRefusal);
        return true;
    }

    /// <summary>Asks the replica and waits. What comes too late is disposed of.</summary>
    private CapturedSnapshot? Capture()
    {
        long until = now() + limits.CaptureTime;
        CapturedSnapshot? result = null;
        bool answered = false, abandoned = false;
        origin.Capture(captured =>
        {
            lock (gate)
            {
                if (abandoned) captured?.State.Dispose();
                else (result, answered) = (captured, true);
                Monitor.PulseAll(gate);
            }
        });
        lock (gate)
        {
            while (!answered && !closing && now() < until) Monitor.Wait(gate, 100);
            abandoned = !answered;
            return result;
        }
    }

    private void Pause(long nanoseconds)
    {
        if (nanoseconds <= 0) return;
        lock (gate)
        {
            long until = now() + nanoseconds;
            while (!closing && now() is var at && at < until) Monitor.Wait(gate, (int)Math.Max(1, (until - at) / 1_000_000));
            if (closing) throw new IOException("this member is closing");
        }
    }

    /// <summary>The connection has ended. If the transfer has not, this thread waits for the receiver's next connection, which takes the capture over, or for the capture's end.</summary>
    private void Leave(OutboundSnapshot mine, bool done)
    {
        lock (gate)
        {
            mine.Sending = false;
            mine.IdleSince = now();
            Monitor.PulseAll(gate);
            long until = Math.Min(mine.IdleSince + limits.IdleTime, mine.Since + limits.Age);
            while (!done && !closing && mine.Captured is not null && IsIdle(mine) && now() is var at && at < until) Monitor.Wait(gate, (int)Math.Clamp((until - at) / 1_000_000, 1, 1000));
            if (!IsIdle(mine)) return;
            mine.Sending = true;
        }
        Drop(mine);
    }

    private bool IsIdle(OutboundSnapshot one) => !one.Sending && outbound.Contains(one);

    /// <summary>Gives a capture back that is marked as this thread's. Without the lock: the machine may be in the middle of a batch, and the loop must never wait for that.</summary>
    private void Drop(OutboundSnapshot one)
    {
        one.Captured?.State.Dispose();
        lock (gate)
        {
            _ = outbound.Remove(one);
            Monitor.PulseAll(gate);
        }
    }
}
