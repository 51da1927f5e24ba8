using Loom.Raft;
using Loom.Raft.Consensus;
using Loom.Store.Mvcc;
using Loom.Store.Snapshots;

namespace Loom.Store.Records;

/// <summary>
/// Reads the checkpoints of a records directory as an open would, but all of them and without a store: every record of each is verified, and that together they are the state that was kept.
/// Nothing is changed.
/// </summary>
/// <param name="path">The records directory.</param>
/// <param name="cluster">Whose they must be; 0: of no cluster yet.</param>
/// <param name="member">Whose they must be.</param>
internal sealed class CheckpointExamination(string path, ulong cluster, MemberId member)
{
    private readonly CheckpointFiles files = new(path);

    /// <summary>Newest first; those that a snapshot left, which are not in force, behind the others.</summary>
    public List<CheckpointReport> Run() => !Directory.Exists(path) ? [] :
    [
        .. files.List().Select(name => Examine(name.Index, files.PathOf(name), isInstalled: false, () => files.Read(name))),
        .. files.ListInstalled().Select(index => Examine(index, files.PathOfInstalled(index), isInstalled: true, () => files.ReadInstalled(index))),
    ];

    private CheckpointReport Examine(long index, string name, bool isInstalled, Func<CheckpointFile> read)
    {
        CheckpointReport report = new() { File = name, Index = index, IsInstalled = isInstalled };
        try
        {
            CheckpointFile file = read();
            if (!isInstalled && files.IsCondemned)
            {
                return report with { Damage = $"{name}: the state in it was found to differ from that of the majority (S5); it is not used." };
            }

            // Restored, and its cluster had not formed.
            if ((file.ClusterId != cluster && !(isInstalled && file.ClusterId == 0)) || file.Member != member)
            {
                return report with { Damage = $"{name} belongs to the member {file.Member} of cluster {file.ClusterId:x}, not to {member} of {cluster:x}. Put the right directory in its place." };
            }

            StateHeader header = StateHeader.Decode(file.Stored.State.Span);
            report = report with
            {
                Term = file.Stored.At.Term,
                Revision = header.State.Revision,
                CompactRevision = header.State.CompactRevision,
                Keys = header.LiveKeys,
                Records = header.Content.Records,
                Bytes = header.Content.Bytes,
            };
            ScanRecords(name, file, header);
            return report;
        }
        catch (Exception e) when (e is LoomException or RaftException or IOException or UnauthorizedAccessException)
        {
            return report with { Damage = e.Message };
        }
    }

    private void ScanRecords(string name, CheckpointFile file, StateHeader header)
    {
        string log = Path.Combine(RecordDirectory.PathOf(path, file.Generation), FasterRecordStore.FileName);
        IndexRebuild rebuild = new(header.State.Revision, header.State.CompactRevision, header.Content, header.State.Leases);
        new RecordLogScan(log, file.PageBytes, file.SegmentBytes, LogExtent.Of(name, file.Log)).Run(rebuild);
        rebuild.Finish();
    }
}
