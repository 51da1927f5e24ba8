namespace Loom.Raft.Consensus;

/// <summary>What a leader knows of another member, for status and for whoever picks the target of a transfer.</summary>
/// <param name="Id">The member.</param>
/// <param name="Match">Index known to be flushed there and equal to this log; 0 until it answered in this term.</param>
/// <param name="Next">Index of the next entry to send: 0 &lt;= Match &lt; Next (L9).</param>
/// <param name="LastHeard">Time of its last message in this term; the start of the term before that.</param>
/// <param name="RoundTripNanoseconds">Smoothed round trip of heartbeats, without flushes; 0 while unknown.</param>
/// <param name="Replicating">Appends are pipelined to it; false while the leader still looks for the point where the logs agree.</param>
/// <param name="NeedsSnapshot">The entries that it needs have left this log (S4).</param>
/// <param name="Forgot">It refuses, again and again, what it had acknowledged in this term: its log is shorter than it promised (E1).</param>
internal readonly record struct PeerView(MemberId Id, long Match, long Next, long LastHeard, long RoundTripNanoseconds, bool Replicating, bool NeedsSnapshot, bool Forgot);
