namespace Loom.Raft.Membership;

/// <summary>A configuration and the index of the entry that brought it (E4); index 0 is the initial configuration, which no entry carries.</summary>
internal readonly record struct ConfigurationAt(long Index, Configuration Configuration);
