namespace Loom.Raft.Log;

/// <summary>
/// The file system is full (ENOSPC) or a quota of it is reached (EDQUOT), found while space was asked for and before anything was written into it: what was to be done may be tried again
/// when there is space (S6). Never thrown for a flush: what that could not write is lost, and the error is the end (L1).
/// </summary>
internal sealed class NoSpaceException(string message, Exception? inner = null) : IOException(message, inner);
