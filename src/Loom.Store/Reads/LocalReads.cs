using Loom.Store.Applying;
using Loom.Store.Machine;
using Loom.Store.Model;
using Loom.Store.Mvcc;

namespace Loom.Store.Reads;

/// <summary>
/// Reads of what this replica has published, on the caller's thread, without locks. A read takes the published revision, walks, and then asks whether compaction
/// has passed the revision that it read: only then can something have been missing from the walk, and it is done again. It stays in one generation of the state from
/// beginning to end; when that one was replaced by a snapshot and closed meanwhile, it is done again in the new one.
/// </summary>
internal sealed class LocalReads(LoomStateMachine machine)
{
    public KeyValue? Get(ReadOnlyMemory<byte> key)
    {
        while (true)
        {
            StateGeneration state = machine.Serving;
            ReadView view = state.View;
            try
            {
                KeyValue? pair = view.Find(key, 0);
                if (state.CompactRevision <= view.Revision)
                {
                    return pair;
                }
            }
            catch (RecordGoneException exception)
            {
                ThrowUnlessOvertaken(state, view.Revision, exception);
            }
            catch (LoomException fault) when (IsReplaced(state, fault))
            {
            }
        }
    }

    /// <summary>Runs a checked query; the code tells a refusal by revision.</summary>
    public LoomErrorCode Range(RangeQuery query, out RangeResult? result)
    {
        while (true)
        {
            StateGeneration state = machine.Serving;
            ReadView view = state.View;
            result = null;
            LoomErrorCode refusal = RangeRule.CheckRevision(query.Revision, view);
            if (refusal != 0)
            {
                return refusal;
            }

            long read = query.Revision <= 0 ? view.Revision : query.Revision;
            try
            {
                RangeResult answer = RangeRule.Run(query, view);
                if (state.CompactRevision <= read)
                {
                    result = answer;
                    return 0;
                }
            }
            catch (RecordGoneException exception)
            {
                ThrowUnlessOvertaken(state, read, exception);
            }
            catch (LoomException fault) when (IsReplaced(state, fault))
            {
            }
        }
    }

    /// <summary>Runs a checked read-only transaction at one revision.</summary>
    public LoomErrorCode Transact(Transaction transaction, out TransactionResult? result)
    {
        while (true)
        {
            StateGeneration state = machine.Serving;
            ReadView view = state.View;
            long oldest = Oldest(transaction, view.Revision);
            try
            {
                LoomErrorCode refusal = TransactionRule.Read(transaction, view, out result);

                // The oldest revision may stand in the branch that did not run, where it may be compacted for long: only a compaction that came meanwhile counts.
                if (refusal != 0 || state.CompactRevision <= oldest || state.CompactRevision == view.CompactRevision)
                {
                    return refusal;
                }
            }
            catch (RecordGoneException exception)
            {
                if (state.CompactRevision == view.CompactRevision)
                {
                    throw Corruption(exception);
                }
            }
            catch (LoomException fault) when (IsReplaced(state, fault))
            {
            }
        }
    }

    /// <exception cref="OperationCanceledException">Looked at before every record: this reads all of them.</exception>
    public HashResult Hash(long revision, CancellationToken cancellationToken = default)
    {
        while (true)
        {
            cancellationToken.ThrowIfCancellationRequested();
            StateGeneration state = machine.Serving;
            ReadView view = state.View;
            LoomErrorCode refusal = RangeRule.CheckRevision(revision, view);
            if (refusal != 0)
            {
                throw Refusals.ToException(refusal);
            }

            long at = revision <= 0 ? view.Revision : revision;
            try
            {
                uint hash = HistoryHash.Compute(state.Index, state.Records, at, view.CompactRevision, cancellationToken);

                // Any compaction meanwhile changes which records count, not only one that passed the revision.
                if (state.CompactRevision == view.CompactRevision)
                {
                    return new HashResult(hash, view.CompactRevision, new Revision(view.Revision), at);
                }
            }
            catch (RecordGoneException exception)
            {
                if (state.CompactRevision == view.CompactRevision)
                {
                    throw Corruption(exception);
                }
            }
            catch (LoomException fault) when (IsReplaced(state, fault))
            {
            }
        }
    }

    /// <summary>The oldest revision that a read-only transaction looks at.</summary>
    private static long Oldest(Transaction transaction, long current)
    {
        long oldest = current;
        foreach (Operation operation in transaction.Success.Concat(transaction.Failure))
        {
            if (operation is RangeOperation { Query.Revision: > 0 and long revision })
            {
                oldest = Math.Min(oldest, revision);
            }
        }

        return oldest;
    }

    private bool IsReplaced(StateGeneration state, LoomException fault) => fault.Code == LoomErrorCode.Stopped && machine.Current != state;

    private static void ThrowUnlessOvertaken(StateGeneration state, long read, RecordGoneException exception)
    {
        if (state.CompactRevision <= read)
        {
            throw Corruption(exception);
        }
    }

    private static LoomException Corruption(RecordGoneException exception) => new(
        LoomErrorCode.Corruption,
        $"LOOM1020: {exception.Message} Nothing was changed. Restart this member: its records are rebuilt from the log.",
        inner: exception);
}
