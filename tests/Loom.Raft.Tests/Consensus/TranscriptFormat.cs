using System.Globalization;
using System.Text;
using Loom.Raft.Consensus;

namespace Loom.Raft.Tests.Consensus;

/// <summary>How transcripts show messages and entries. Terms are written t3, places in the log index/term.</summary>
internal static class TranscriptFormat
{
    public static string Of(Message m)
    {
        string head = string.Create(CultureInfo.InvariantCulture, $"{m.From}->{m.To} {m.Kind} t{m.Term}");
        string verdict = m.Reject ? " refused" : "";
        return head + verdict + m.Kind switch
        {
            MessageKind.PreVote or MessageKind.Vote => $" last {m.Index}/{m.LogTerm}{(m.Transfer ? " by transfer" : "")}",
            MessageKind.Append => $" after {m.Index}/{m.LogTerm} [{Of(m.Entries)}] commit {m.Commit} round {m.Round}",
            MessageKind.AppendResponse when m.Reject => $" {m.Index} hint {m.RejectHint}/{m.LogTerm}",
            MessageKind.AppendResponse => $" match {m.Index} round {m.Round}",
            MessageKind.Heartbeat when m.Round == 0 => $" notice commit {m.Commit}",
            MessageKind.Heartbeat => $" match {m.Index}/{m.LogTerm} commit {m.Commit} round {m.Round}",
            MessageKind.SnapshotNeeded => $" at {m.Index}/{m.LogTerm} commit {m.Commit}",
            MessageKind.HeartbeatResponse => $" round {m.Round}",
            MessageKind.ReadIndex => $" read {m.Context}",
            MessageKind.ReadIndexResponse => $" read {m.Context} index {m.Index}",
            _ => "",
        };
    }

    public static string Of(IReadOnlyList<Entry> entries)
    {
        // A run of many entries is shown by its ends: the bounds are what a transcript is about.
        if (entries.Count > 6)
        {
            return $"{Of(entries[0])} .. {Of(entries[^1])}";
        }

        return string.Join(' ', entries.Select(Of));
    }

    public static string Of(Entry e) => e.Kind switch
    {
        EntryKind.NoOp => $"{e.Index}/{e.Term} noop",
        EntryKind.Configuration => $"{e.Index}/{e.Term} configuration",
        _ => $"{e.Index}/{e.Term} {(e.Body.Length > 12 ? $"{e.Body.Length}B" : Encoding.UTF8.GetString(e.Body.Span))}",
    };
}
