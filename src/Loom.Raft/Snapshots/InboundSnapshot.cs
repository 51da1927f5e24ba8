using Loom.Raft.Consensus;
using Loom.Raft.Replica;
using Loom.Raft.Transport;

namespace Loom.Raft.Snapshots;

/// <summary>A snapshot on its way in: what was taken of it, and where. Outlives the connections that bring it.</summary>
internal sealed class InboundSnapshot(MemberId source, SnapshotManifest manifest, IStateInstallation installation, long estimatedBytes)
{
    private bool handedOver;

    public MemberId Source { get; } = source;

    public SnapshotManifest Manifest { get; } = manifest;

    public long EstimatedBytes { get; } = estimatedBytes;

    public TransferPosition Position { get; private set; } = TransferPosition.Start;

    /// <exception cref="WireException">Not the next one.</exception>
    /// <exception cref="InstallationException">The installation did not take it.</exception>
    public void Take(long number, StateChunk chunk)
    {
        if (number != Position.Chunks + 1) throw new WireException($"chunk {number} where chunk {Position.Chunks + 1} belongs");
        InstallationException.Guard(() => installation.Write(chunk));
        Position = Position.After(chunk);
    }

    /// <summary>Whether the source sent what arrived, all of it and nothing else.</summary>
    public bool IsWhole(SnapshotEnd end) => end.Chunks == Position.Chunks && end.Bytes == Position.Bytes && end.Hash == Position.Hash;

    /// <summary>Verifies the state and makes it durable.</summary>
    /// <exception cref="InstallationException">It is damaged, or there is no space.</exception>
    public void Complete() => InstallationException.Guard(installation.Complete);

    /// <summary>The installation, which is not this object's any more.</summary>
    public IStateInstallation HandOver()
    {
        handedOver = true;
        return installation;
    }

    /// <summary>Deletes what was taken, unless it was handed over.</summary>
    public void Discard()
    {
        if (!handedOver) installation.Dispose();
    }
}

/// <summary>Collecting the state failed on this side: told apart from a broken connection, which ends with I/O errors, too.</summary>
internal sealed class InstallationException(Exception inner) : Exception(inner.Message, inner)
{
    /// <summary>The bytes are damaged: another source may have better ones. Otherwise the trouble is here.</summary>
    public bool IsDamage => InnerException is RaftException { Code: RaftErrorCode.Corruption };

    public static void Guard(Action work)
    {
        try
        {
            work();
        }
        catch (Exception e)
        {
            throw new InstallationException(e);
        }
    }
}
