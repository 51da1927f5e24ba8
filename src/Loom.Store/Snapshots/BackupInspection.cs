using Loom.Store.Mvcc;

namespace Loom.Store.Snapshots;

/// <summary>Reads an archive to its end and checks everything of it: the archive itself, every record, their order, and that all together are the state that its header names. One chunk in memory at a time.</summary>
internal sealed class BackupInspection : IStateSink
{
    private readonly string path;

    private BackupInspection(string path) => this.path = path;

    /// <summary>The report of a whole archive.</summary>
    /// <exception cref="Raft.RaftException">CannotOpen: of a newer version. Corruption: damaged.</exception>
    public static LoomBackupReport Run(string path, Stream source, CancellationToken cancellationToken) => new BackupInspection(path).Run(source, cancellationToken);

    private LoomBackupReport Run(Stream source, CancellationToken cancellationToken)
    {
        using BackupReader reader = new(source);
        StateIntake intake = new(reader.Header, this);
        while (reader.Next() is { } chunk)
        {
            cancellationToken.ThrowIfCancellationRequested();
            intake.Take(chunk);
        }

        intake.Complete();
        return new LoomBackupReport
        {
            Path = path,
            Bytes = reader.Position,
            Hash = Convert.ToHexStringLower(reader.Digest),
            Revision = reader.Header.State.Revision,
            CompactRevision = reader.Header.State.CompactRevision,
            Keys = reader.Header.LiveKeys,
            Records = reader.Header.Content.Records,
            Index = reader.Description.At.Index,
            Term = reader.Description.At.Term,
            ClusterId = reader.Description.ClusterId,
            Source = reader.Description.Source.Value,
            Configuration = reader.Description.Configuration,
        };
    }

    void IStateSink.Take(in StateRecord record)
    {
    }

    void IStateSink.EndKey(ReadOnlySpan<byte> key, ReadOnlySpan<KeyVersion> versions)
    {
    }
}
