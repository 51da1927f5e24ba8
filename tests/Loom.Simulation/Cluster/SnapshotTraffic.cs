using Loom.Raft;
using Loom.Raft.Replica;
using Loom.Raft.Snapshots;
using Loom.Simulation.Engine;

namespace Loom.Simulation.Cluster;

/// <summary>
/// A process' share in snapshots, in place of the host's fetcher and source: asks somebody for one while its replica wants one, collects it chunk by chunk beside the state, and gives its own.
/// A link that is cut, a source that ended or has nothing costs time; a transfer goes on where it stopped while its source still has the capture, else with another one.
/// </summary>
internal sealed class SnapshotTraffic(SimMember member, MemberProcess process, SimRandom random)
{
    private const int MaxGiven = 2;

    private readonly SimCluster cluster = member.Cluster;
    private readonly Queue<CapturedSnapshot> given = new();
    private readonly int life = member.Life;
    private long? wanted;
    private bool isHandedOver;
    private int attempt;
    private int silences;

    // What is being collected, and how far it is.
    private int source;
    private SnapshotManifest? manifest;
    private IStateInstallation? installation;
    private ReadOnlyMemory<byte> cursor;

    private bool IsOver => !member.IsUp || member.Life != life;

    /// <summary>The replica wants a snapshot from this index on, or none any more.</summary>
    public void Want(long? index)
    {
        bool begins = wanted is null && index is not null && !isHandedOver;
        wanted = index;
        if (begins)
        {
            Ask(++attempt);
        }
    }

    /// <summary>What was handed over is switched to, or comes back unused.</summary>
    public void Settled(IStateInstallation handedOver)
    {
        handedOver.Dispose();
        isHandedOver = false;
        if (wanted is not null)
        {
            Ask(++attempt);
        }
    }

    /// <summary>The process ended: what it gives is gone, what it collected is deleted at the next start unless it was whole.</summary>
    public void End()
    {
        while (given.TryDequeue(out CapturedSnapshot? captured))
        {
            captured.State.Dispose();
        }
    }

    private void Ask(int mine)
    {
        if (IsOver || mine != attempt || wanted is not { } index || isHandedOver)
        {
            return;
        }

        Drop();
        List<SimMember> others = [.. cluster.Members.Where(m => m != member && m.IsUp && !cluster.Network.IsCut(member.Number, m.Number) && !cluster.Network.IsCut(m.Number, member.Number))];
        if (others.Count == 0)
        {
            Again(mine);
            return;
        }

        source = random.Pick(others).Number;
        silences = 0;
        cluster.Trace.Add(member.Number, "asks n{0} for a snapshot from {1} on", source, index);
        int from = source;
        ToSource(traffic => traffic.Serve(member.Number, index, bytes => FromSource(from, () => Begin(mine, bytes))));
        Watch(mine);
    }

    private void Again(int mine) => cluster.Scheduler.After(random.Between(1, 10) * cluster.Swarm.ElectionTimeout / 10, () => Ask(mine));

    /// <summary>On the source: captures its state, unless it has nothing that helps.</summary>
    private void Serve(int receiver, long index, Action<byte[]?> answer)
    {
        if (process.Applied < index)
        {
            process.Post(new LaterStateNeeded(index));
            answer(null);
            return;
        }

        cluster.Trace.Add(member.Number, "is asked for a snapshot by n{0}", receiver);
        process.Post(new CaptureRequested(captured =>
        {
            if (captured is not null)
            {
                given.Enqueue(captured);
                if (given.Count > MaxGiven)
                {
                    given.Dequeue().State.Dispose();
                }
            }

            answer(captured is null ? null : SnapshotManifestCodec.Encode(captured.Manifest));
        }));
    }

    private void Begin(int mine, byte[]? bytes)
    {
        if (IsOver || mine != attempt || manifest is not null)
        {
            return;
        }

        if (bytes is null || SnapshotManifestCodec.Decode(bytes) is not { } read || read.At.Index < wanted)
        {
            Again(++attempt);
            return;
        }

        manifest = read;
        installation = process.Machine.BeginInstall(read.At, read.Header);
        cursor = default;
        Next(mine);
    }

    private void Next(int mine)
    {
        ReadOnlyMemory<byte> after = cursor;
        ulong id = manifest!.Id;
        int from = source;
        ToSource(traffic => traffic.Read(id, after, (isThere, chunk) => FromSource(from, () => Take(mine, after, isThere, chunk))));
    }

    /// <summary>On the source.</summary>
    private void Read(ulong id, ReadOnlyMemory<byte> after, Action<bool, StateChunk?> answer)
    {
        CapturedSnapshot? captured = given.FirstOrDefault(g => g.Manifest.Id == id);
        StateChunk? chunk = null;
        bool isThere = captured is not null;
        try
        {
            chunk = captured?.State.Read(after, cluster.Swarm.ChunkBytes + (20 * cluster.Swarm.MaxValueBytes));
        }
        catch (RaftException)
        {
            // Its own state was replaced meanwhile, or the capture grew too old.
            isThere = false;
        }

        answer(isThere, chunk is null ? null : new StateChunk(chunk.Cursor.ToArray(), chunk.Bytes.ToArray()));
    }

    private void Take(int mine, ReadOnlyMemory<byte> after, bool isThere, StateChunk? chunk)
    {
        if (IsOver || mine != attempt || installation is null || !after.Span.SequenceEqual(cursor.Span))
        {
            return;
        }

        if (!isThere)
        {
            Again(++attempt);
            return;
        }

        cluster.Coverage.Resumed += silences > 0 ? 1 : 0;
        silences = 0;
        if (chunk is not null)
        {
            installation.Write(chunk);
            cursor = chunk.Cursor;
            cluster.Scheduler.After(random.Between(1, 20) * cluster.Swarm.ElectionTimeout / 400, () =>
            {
                if (!IsOver && mine == attempt && installation is not null)
                {
                    Next(mine);
                }
            });
            return;
        }

        cluster.Trace.Add(member.Number, "has collected the state at {0}", manifest!.At.Index);
        IStateInstallation whole = installation;
        (SnapshotManifest of, isHandedOver, installation, manifest) = (manifest, true, null, null);
        attempt++;
        whole.Complete();
        process.Post(new SnapshotCollected(of, whole));
    }

    /// <summary>Nothing came for a while: asks again, for the same place; after some silences somebody else.</summary>
    private void Watch(int mine)
    {
        ReadOnlyMemory<byte> before = cursor;
        cluster.Scheduler.After(2 * cluster.Swarm.ElectionTimeout, () =>
        {
            if (IsOver || mine != attempt || wanted is null)
            {
                return;
            }

            bool silent = before.Span.SequenceEqual(cursor.Span);
            if (silent && (installation is null || ++silences > 3))
            {
                Ask(++attempt);
                return;
            }

            if (silent)
            {
                Next(mine);
            }

            Watch(mine);
        });
    }

    private void Drop()
    {
        installation?.Dispose();
        (installation, manifest, cursor) = (null, null, default);
    }

    private void ToSource(Action<SnapshotTraffic> act)
    {
        int to = source, lifeThere = cluster.Members[to].Life;
        cluster.Network.SendStream(member.Number, to, () =>
        {
            if (cluster.Members[to].IsUp && cluster.Members[to].Life == lifeThere)
            {
                act(cluster.Members[to].Process.Snapshots);
            }
        });
    }

    /// <summary>On the source: its answer travels back.</summary>
    private void FromSource(int from, Action act) => cluster.Network.SendStream(from, member.Number, act);
}
