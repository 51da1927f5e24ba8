using System.Buffers;
using Loom.Store.Model;
using MessagePack;

namespace Loom.Store.Commands;

/// <summary>
/// Command → bytes, MessagePack by hand (no reflection, one form per command):
/// <code>
/// payload     = [ format:1, kind, body ]                         the cluster's own, or the embedding process's
///             | [ format:2, kind, [ user, auth revision, body ] ]   a caller's
/// put         = [ flags, key, value, lease ]                     flags: 1 previous pair, 2 ignore value, 4 ignore lease
/// delete      = [ flags, start, end ]                            flags: 1 previous pairs
/// transaction = [ [compare…], [operation…], [operation…] ]       operation = [ tag, body ]; tag: 1 put, 2 delete, 3 range, 4 transaction
/// compare     = [ target, result, start, end, number, value ]
/// range       = [ flags, start, end, limit, revision, order, target, minMod, maxMod, minCreate, maxCreate ]     flags: 1 keys only, 2 count only
/// compact     = [ revision ]
/// grant       = [ lease, seconds ]
/// revoke      = [ lease ]
/// renew       = [ lease… ]                                       ascending
/// expire      = [ term, [ lease… ] ]                             ascending
/// alarm       = [ flags, kind, member ]                          flags: 1 raises, 2 automatic
/// </code>
/// The bodies for users and roles are <see cref="AuthCommandCodec"/>'s. Integers take their shortest form, bytes the bin type; the same command has the same bytes on every runtime.
/// </summary>
internal static class CommandWriter
{
    public const int Format = 1;
    public const int FormatWithCaller = 2;

    public static byte[] Encode(Command command)
    {
        var buffer = new ArrayBufferWriter<byte>(EstimateBytes(command));
        var writer = new MessagePackWriter(buffer);
        writer.WriteArrayHeader(3);
        writer.Write(command.Caller is null ? Format : FormatWithCaller);
        writer.Write((byte)KindOf(command));
        if (command.Caller is { } caller)
        {
            writer.WriteArrayHeader(3);
            AuthCommandCodec.WriteName(ref writer, caller.User);
            writer.Write(caller.AuthRevision);
        }

        WriteBody(ref writer, command);
        writer.Flush();
        return buffer.WrittenSpan.ToArray();
    }

    private static CommandKind KindOf(Command command) => command switch
    {
        PutCommand => CommandKind.Put,
        DeleteCommand => CommandKind.Delete,
        TransactionCommand => CommandKind.Transaction,
        CompactCommand => CommandKind.Compact,
        LeaseGrantCommand => CommandKind.LeaseGrant,
        LeaseRevokeCommand => CommandKind.LeaseRevoke,
        LeaseRenewCommand => CommandKind.LeaseRenew,
        LeaseExpireCommand => CommandKind.LeaseExpire,
        AlarmCommand => CommandKind.Alarm,
        _ => AuthCommandCodec.KindOf(command),
    };

    private static void WriteBody(ref MessagePackWriter writer, Command command)
    {
        switch (command)
        {
            case PutCommand put:
                Write(ref writer, put.Put);
                break;
            case DeleteCommand delete:
                Write(ref writer, delete.Delete);
                break;
            case TransactionCommand transaction:
                Write(ref writer, transaction.Transaction);
                break;
            case CompactCommand compact:
                writer.WriteArrayHeader(1);
                writer.Write(compact.Revision);
                break;
            case LeaseGrantCommand grant:
                writer.WriteArrayHeader(2);
                writer.Write(grant.Id);
                writer.Write(grant.Seconds);
                break;
            case LeaseRevokeCommand revoke:
                writer.WriteArrayHeader(1);
                writer.Write(revoke.Id);
                break;
            case LeaseRenewCommand renew:
                Write(ref writer, renew.Ids);
                break;
            case LeaseExpireCommand expire:
                writer.WriteArrayHeader(2);
                writer.Write(expire.Term);
                Write(ref writer, expire.Ids);
                break;
            case AlarmCommand alarm:
                writer.WriteArrayHeader(3);
                writer.Write((alarm.Raises ? 1 : 0) | (alarm.Alarm.IsAutomatic ? 2 : 0));
                writer.Write((byte)alarm.Alarm.Kind);
                writer.Write(alarm.Alarm.Member);
                break;
            default:
                AuthCommandCodec.Write(ref writer, command);
                break;
        }
    }

    private static int EstimateBytes(Command command) => command switch
    {
        PutCommand put => put.Put.Key.Length + put.Put.Value.Length + 40,
        _ => 256,
    };

    private static void Write(ref MessagePackWriter writer, IReadOnlyList<long> leases)
    {
        writer.WriteArrayHeader(leases.Count);
        for (int i = 0; i < leases.Count; i++)
        {
            writer.Write(leases[i]);
        }
    }

    private static void Write(ref MessagePackWriter writer, PutOperation put)
    {
        writer.WriteArrayHeader(4);
        writer.Write((put.PreviousPair ? 1 : 0) | (put.IgnoreValue ? 2 : 0) | (put.IgnoreLease ? 4 : 0));
        writer.Write(put.Key.Span);
        writer.Write(put.Value.Span);
        writer.Write(put.Lease);
    }

    private static void Write(ref MessagePackWriter writer, DeleteOperation delete)
    {
        writer.WriteArrayHeader(3);
        writer.Write(delete.PreviousPairs ? 1 : 0);
        Write(ref writer, delete.Range);
    }

    private static void Write(ref MessagePackWriter writer, KeyRange range)
    {
        writer.Write(range.Start.Span);
        writer.Write(range.End.Span);
    }

    private static void Write(ref MessagePackWriter writer, Transaction transaction)
    {
        writer.WriteArrayHeader(3);
        writer.WriteArrayHeader(transaction.Compares.Count);
        foreach (Compare compare in transaction.Compares)
        {
            writer.WriteArrayHeader(6);
            writer.Write((int)compare.Target);
            writer.Write((int)compare.Result);
            Write(ref writer, compare.Range);
            writer.Write(compare.Number);
            writer.Write(compare.Value.Span);
        }

        Write(ref writer, transaction.Success);
        Write(ref writer, transaction.Failure);
    }

    private static void Write(ref MessagePackWriter writer, IReadOnlyList<Operation> operations)
    {
        writer.WriteArrayHeader(operations.Count);
        foreach (Operation operation in operations)
        {
            writer.WriteArrayHeader(2);
            switch (operation)
            {
                case PutOperation put:
                    writer.Write(1);
                    Write(ref writer, put);
                    break;
                case DeleteOperation delete:
                    writer.Write(2);
                    Write(ref writer, delete);
                    break;
                case RangeOperation range:
                    writer.Write(3);
                    Write(ref writer, range.Query);
                    break;
                case NestedOperation nested:
                    writer.Write(4);
                    Write(ref writer, nested.Transaction);
                    break;
                default:
                    throw new ArgumentOutOfRangeException(nameof(operations));
            }
        }
    }

    private static void Write(ref MessagePackWriter writer, RangeQuery query)
    {
        writer.WriteArrayHeader(11);
        writer.Write((query.KeysOnly ? 1 : 0) | (query.CountOnly ? 2 : 0));
        Write(ref writer, query.Range);
        writer.Write(query.Limit);
        writer.Write(query.Revision);
        writer.Write((byte)query.SortOrder);
        writer.Write((byte)query.SortTarget);
        writer.Write(query.MinModRevision);
        writer.Write(query.MaxModRevision);
        writer.Write(query.MinCreateRevision);
        writer.Write(query.MaxCreateRevision);
    }
}
