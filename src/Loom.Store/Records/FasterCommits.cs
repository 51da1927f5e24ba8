using System.Text;
using FASTER.core;

namespace Loom.Store.Records;

/// <summary>
/// What FASTER writes down of a checkpoint, kept in memory: our own file takes it (<see cref="CheckpointFile"/>), with a checksum that FASTER's lacks, and gives it back at recovery.
/// So committing costs FASTER nothing, whichever thread it happens on, and FASTER has no files of its own beside its log. Never throws: FASTER's state machine would be stuck for good.
/// </summary>
internal sealed class FasterCommits : ICheckpointManager
{
    private readonly Lock gate = new();
    private Guid token;
    private byte[]? metadata;

    /// <summary>For recovery: the token to recover, and what it is to be recovered from.</summary>
    public Guid Offer(byte[] log)
    {
        lock (gate)
        {
            token = Parse(log).guid;
            metadata = log;
            return token;
        }
    }

    /// <summary>What was committed under a token.</summary>
    public byte[] Take(Guid committed)
    {
        lock (gate)
        {
            return committed == token && metadata is not null ? WithoutSessions(metadata) : throw new InvalidOperationException("FASTER ended a checkpoint that it did not commit");
        }
    }

    /// <exception cref="Exception">Any: it is none.</exception>
    public static HybridLogRecoveryInfo Parse(byte[] log)
    {
        HybridLogRecoveryInfo info = default;
        using StreamReader reader = new(new MemoryStream(log), Encoding.UTF8);
        info.Initialize(reader);
        return info;
    }

    public void CommitLogCheckpoint(Guid logToken, byte[] commitMetadata)
    {
        lock (gate)
        {
            token = logToken;
            metadata = commitMetadata;
        }
    }

    public byte[] GetLogCheckpointMetadata(Guid logToken, DeltaLog deltaLog, bool scanDelta = false, long recoverTo = -1)
    {
        lock (gate)
        {
            return (logToken == token ? metadata : null)!;
        }
    }

    public IEnumerable<Guid> GetLogCheckpointTokens() => [];

    public IEnumerable<Guid> GetIndexCheckpointTokens() => [];

    public byte[] GetIndexCheckpointMetadata(Guid indexToken) => null!;

    public void InitializeIndexCheckpoint(Guid indexToken)
    {
    }

    public void InitializeLogCheckpoint(Guid logToken)
    {
    }

    public void CommitIndexCheckpoint(Guid indexToken, byte[] commitMetadata)
    {
    }

    public void CommitLogIncrementalCheckpoint(Guid logToken, long version, byte[] commitMetadata, DeltaLog deltaLog)
    {
    }

    public void CheckpointVersionShift(long oldVersion, long newVersion)
    {
    }

    // Only for the other kinds of checkpoints, which are not used.
    public IDevice GetIndexDevice(Guid indexToken) => null!;

    public IDevice GetSnapshotLogDevice(Guid token) => null!;

    public IDevice GetSnapshotObjectLogDevice(Guid token) => null!;

    public IDevice GetDeltaLogDevice(Guid token) => null!;

    public void Purge(Guid token)
    {
    }

    public void PurgeAll()
    {
    }

    public void OnRecovery(Guid indexToken, Guid logToken)
    {
    }

    public void Dispose()
    {
    }

    /// <summary>FASTER hands sessions on from checkpoint to checkpoint for ever; nobody resumes one here.</summary>
    private static byte[] WithoutSessions(byte[] log)
    {
        HybridLogRecoveryInfo info = Parse(log);
        info.checkpointTokens = new();
        return info.ToByteArray();
    }
}
