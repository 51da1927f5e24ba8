using Loom.Store.Mvcc;

namespace Loom.Store.Applying;

/// <summary>What the record store may ask about one generation of the state.</summary>
internal sealed class GenerationOwner(Lock writer, StateGeneration generation, Compaction compaction) : IRecordOwner
{
    public long NeededBytes => generation.Sizes.InUseBytes;

    public long TrimmedRevision => compaction.Done;

    // A record that is younger than what is published may not be in the index yet. Asked in this order: what was published before the look-up is in it.
    public bool Needs(ReadOnlySpan<byte> key, RecordKey at) => at.Main > generation.Revision || generation.Index.Contains(key, at);

    public void BetweenBatches(Action step)
    {
        lock (writer)
        {
            step();
        }
    }
}
