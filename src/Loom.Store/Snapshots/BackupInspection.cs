using Loom.Raft;
using Loom.Store.Mvcc;

namespace Loom.Store.Snapshots;

/// <summary>Reads an archive to its end and checks everything of it: the archive itself, every record, their order, and that all together are the state that its header names. One chunk in memory at a time.</summary>
internal sealed class BackupInspection : IStateSink
{
    private ContentSums newest;

    private BackupInspection()
    {
    }

    /// <summary>What a whole archive holds.</summary>
    /// <exception cref="RaftException">CannotOpen: of a newer version. Corruption: damaged.</exception>
    public static InspectedBackup Run(string path, Stream source, CancellationToken cancellationToken) => new BackupInspection().Inspect(path, source, cancellationToken);

    private InspectedBackup Inspect(string path, Stream source, CancellationToken cancellationToken)
    {
        using BackupReader reader = new(source);
        StateIntake intake = new(reader.Header, this);
        while (reader.Next() is { } chunk)
        {
            cancellationToken.ThrowIfCancellationRequested();
            intake.Take(chunk);
        }

        intake.Complete();
        return new InspectedBackup(Report(path, reader), reader.Description, reader.Header, reader.Digest, newest);
    }

    private static LoomBackupReport Report(string path, BackupReader reader) => new()
    {
        Path = path,
        Bytes = reader.Position,
        Hash = Convert.ToHexStringLower(reader.Digest),
        Revision = reader.Header.State.Revision,
        CompactRevision = reader.Header.State.CompactRevision,
        Epoch = reader.Header.State.Epoch,
        Keys = reader.Header.LiveKeys,
        Records = reader.Header.Content.Records,
        Index = reader.Description.At.Index,
        Term = reader.Description.At.Term,
        ClusterId = reader.Description.ClusterId,
        Source = reader.Description.Source.Value,
        Configuration = reader.Description.Configuration,
    };

    void IStateSink.Take(in StateRecord record)
    {
    }

    void IStateSink.EndKey(ReadOnlySpan<byte> key, ReadOnlySpan<KeyVersion> versions)
    {
        if (!versions[^1].IsDeleted)
        {
            newest = newest.With(versions[^1].Mark);
        }
    }
}

/// <summary>What was found in a whole archive.</summary>
/// <param name="Report">For people.</param>
/// <param name="Description">What it says of itself.</param>
/// <param name="Header">And of its state.</param>
/// <param name="Digest">Its hash.</param>
/// <param name="Newest">Sums over the newest version of each live key: what is left of it by a compaction at its newest revision or later.</param>
internal sealed record InspectedBackup(LoomBackupReport Report, RaftSnapshotDescription Description, StateHeader Header, byte[] Digest, ContentSums Newest);
