using System.Globalization;
using Loom.Store;

namespace Loom.Server.Cli;

/// <summary>What is told of a verified backup.</summary>
internal static class BackupText
{
    public static void Write(DataWriter data, LoomBackupReport report)
    {
        if (data.IsJson)
        {
            data.Json(json =>
            {
                json.WriteString("file", report.Path);
                json.WriteNumber("revision", report.Revision);
                json.WriteNumber("compact_revision", report.CompactRevision);
                json.WriteNumber("keys", report.Keys);
                json.WriteNumber("records", report.Records);
                json.WriteNumber("bytes", report.Bytes);
                json.WriteString("hash", report.Hash);
                json.WriteNumber("index", report.Index);
                json.WriteNumber("term", report.Term);
                json.WriteString("cluster_id", Hex(report.ClusterId));
                json.WriteString("member_id", Hex(report.Source));
            });
            return;
        }

        string member = report.Configuration.Find(new(report.Source))?.Name ?? Hex(report.Source);
        data.Fact("backup", report.Path);
        data.Fact("revision", string.Create(CultureInfo.InvariantCulture, $"{report.Revision}, compacted {report.CompactRevision}"));
        data.Fact("keys", string.Create(CultureInfo.InvariantCulture, $"{report.Keys}, {report.Records} records"));
        data.Fact("bytes", string.Create(CultureInfo.InvariantCulture, $"{report.Bytes}"));
        data.Fact("hash", report.Hash);
        data.Fact("source", string.Create(CultureInfo.InvariantCulture, $"{member} of cluster {report.ClusterId:x}, entry {report.Index} of term {report.Term}"));
    }

    private static string Hex(ulong id) => id.ToString("x", CultureInfo.InvariantCulture);
}
