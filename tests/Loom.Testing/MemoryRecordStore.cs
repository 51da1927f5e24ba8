using Loom.Store;
using Loom.Store.Mvcc;

namespace Loom.Testing;

/// <summary>
/// The twin of the FASTER store for the simulator and for tests: same contract, nothing on a disk. What survives it is in its directory, if it has one.
/// </summary>
internal sealed class MemoryRecordStore(MemoryRecordDirectory? directory = null) : IRecordStore
{
    private readonly Lock gate = new();
    private readonly SortedDictionary<RecordKey, byte[]> records = [];
    private long size;
    private bool closed;

    /// <summary>Records that are there.</summary>
    public int Count
    {
        get
        {
            lock (gate)
            {
                return records.Count;
            }
        }
    }

    /// <inheritdoc/>
    public long SizeBytes
    {
        get
        {
            lock (gate)
            {
                return size;
            }
        }
    }

    /// <inheritdoc/>
    public void Append(RecordKey key, ReadOnlySpan<byte> record, long appliedIndex)
    {
        byte[] copy = record.ToArray();
        lock (gate)
        {
            ThrowIfClosed();
            if (records.TryGetValue(key, out byte[]? existing))
            {
                // The same record again is a replay; another one under the same revision means that apply is not a function of the log (T4).
                if (!existing.AsSpan().SequenceEqual(copy))
                {
                    throw new InvalidOperationException($"record {key.Main}.{key.Sub} was written before with other bytes");
                }

                return;
            }

            records.Add(key, copy);
            size += copy.Length;
        }
    }

    /// <inheritdoc/>
    public bool TryRead(RecordKey key, out ReadOnlyMemory<byte> record)
    {
        lock (gate)
        {
            ThrowIfClosed();
            bool found = records.TryGetValue(key, out byte[]? bytes);
            record = bytes;
            return found;
        }
    }

    /// <inheritdoc/>
    public void ReadMany(ReadOnlySpan<RecordKey> keys, Span<ReadOnlyMemory<byte>> results)
    {
        for (int i = 0; i < keys.Length; i++)
        {
            TryRead(keys[i], out results[i]);
        }
    }

    /// <inheritdoc/>
    public bool BeginCheckpoint(StoredState state, Action<Exception?> completed) => directory?.Begin(this, state, completed) ?? false;

    /// <summary>All records as they are now, in revision order.</summary>
    internal KeyValuePair<RecordKey, byte[]>[] All()
    {
        lock (gate)
        {
            return [.. records];
        }
    }

    /// <inheritdoc/>
    public void Remove(RecordKey key)
    {
        lock (gate)
        {
            if (records.Remove(key, out byte[]? bytes))
            {
                size -= bytes.Length;
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (gate)
        {
            closed = true;
        }
    }

    private void ThrowIfClosed()
    {
        if (closed)
        {
            throw Faults.Closed();
        }
    }
}
