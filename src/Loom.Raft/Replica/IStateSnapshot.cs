namespace Loom.Raft.Replica;

/// <summary>
/// A consistent state of the machine, to be read while the machine goes on. Read by one thread at a time. It holds resources (memory that compaction cannot free): dispose it.
/// The sequence of chunks is a function of the state alone, so that a reader can go on after any cursor it has seen, in another connection.
/// </summary>
public interface IStateSnapshot : IDisposable
{
    /// <summary>Where it stands.</summary>
    StatePosition At { get; }

    /// <summary>The application's own description (revision, compacted revision, counts, …), with a version in front.</summary>
    ReadOnlyMemory<byte> Header { get; }

    /// <summary>Roughly how many bytes of chunks there are in all, for progress.</summary>
    long EstimatedBytes { get; }

    /// <summary>The chunk that follows a cursor; null: the end. An empty cursor stands before the first one. About <paramref name="maxBytes"/> at most, but at least one record.</summary>
    /// <exception cref="RaftException">Corruption: a record here is damaged; another member must be the source.</exception>
    StateChunk? Read(ReadOnlyMemory<byte> after, int maxBytes);
}

/// <summary>A piece of a state.</summary>
/// <param name="Cursor">Where it ends: what to ask after. At most 2 KiB longer than the longest key.</param>
/// <param name="Bytes">Opaque; checked by the installation, record by record.</param>
public sealed record StateChunk(ReadOnlyMemory<byte> Cursor, ReadOnlyMemory<byte> Bytes);

/// <summary>A state that is being collected beside the present one (S3). One thread at a time. Disposed without a switch it is deleted.</summary>
public interface IStateInstallation : IDisposable
{
    /// <summary>Where the state will stand.</summary>
    StatePosition At { get; }

    /// <summary>Takes the next chunk. Its memory is the caller's, and is used again after the call.</summary>
    /// <exception cref="RaftException">Corruption: the chunk is damaged; what was taken before stays.</exception>
    void Write(StateChunk chunk);

    /// <summary>All chunks are in: verifies the whole (counts and content hash of the header) and makes it durable beside the present state, which goes on serving.</summary>
    /// <exception cref="RaftException">Corruption: it is not whole.</exception>
    void Complete();
}
