using Loom.Store.Applying;
using Loom.Store.Commands;
using Loom.Store.Model;
using Loom.Store.Mvcc;
using NUnit.Framework;

namespace Loom.Store.Tests.Applying;

/// <summary>S6: what is reserved for a payload is never less than what its records take, around each of them 36 bytes of FASTER and up to 8 by rounding.</summary>
internal sealed class RecordSpaceTests
{
    [TestCase(1, 0)]
    [TestCase(1, 1)]
    [TestCase(20, 300)]
    [TestCase(3, 1_000_000)]
    public void A_payload_is_never_estimated_too_low(int keyBytes, int valueBytes)
    {
        var put = new PutOperation(new byte[keyBytes], new byte[valueBytes]);
        long record = Taken(keyBytes, valueBytes);
        Assert.That(RecordSpace.Of(CommandWriter.Encode(new PutCommand(put))), Is.GreaterThanOrEqualTo(record));
        foreach (int puts in (int[])[1, 2, 128])
        {
            Operation[] operations = [.. Enumerable.Repeat<Operation>(put, puts)];
            Assert.That(RecordSpace.Of(CommandWriter.Encode(new TransactionCommand(new Transaction([], operations, [])))), Is.GreaterThanOrEqualTo(puts * record), $"{puts} puts");
            Assert.That(
                RecordSpace.Of(CommandWriter.Encode(new TransactionCommand(new Transaction([], [new NestedOperation(new Transaction([], [], operations))], [])))), Is.GreaterThanOrEqualTo(puts * record));
        }
    }

    [Test]
    public void What_makes_space_asks_for_none()
    {
        Assert.That(RecordSpace.Of(CommandWriter.Encode(new DeleteCommand(new DeleteOperation(KeyRange.From("a"u8.ToArray()))))), Is.Zero);
        Assert.That(RecordSpace.Of(CommandWriter.Encode(new CompactCommand(long.MaxValue))), Is.Zero);
        Assert.That(RecordSpace.Of([]), Is.Zero);
    }

    private static long Taken(int keyBytes, int valueBytes) => (RecordCodec.HeaderBytes + keyBytes + valueBytes + 36 + 7) / 8 * 8;
}
