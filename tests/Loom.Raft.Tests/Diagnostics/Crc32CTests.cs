using Loom.Raft.Diagnostics;
using NUnit.Framework;

namespace Loom.Raft.Tests.Diagnostics;

public sealed class Crc32CTests
{
    /// <summary>The check value of the polynomial's catalogue.</summary>
    [Test]
    public void The_known_answer() => Assert.That(Crc32C.Continue(0, "123456789"u8), Is.EqualTo(0xE3069283));

    [Test]
    public void Words_bytes_and_numbers_make_one_sum_however_the_bytes_are_cut()
    {
        byte[] bytes = [.. Enumerable.Range(0, 61).Select(i => (byte)(i * 37))];
        for (int length = 0; length <= bytes.Length; length++)
        {
            uint expected = Crc32C.Start;
            foreach (byte one in bytes.AsSpan(0, length)) expected = Crc32C.Append(expected, one);
            Assert.That(Crc32C.Append(Crc32C.Start, bytes.AsSpan(0, length)), Is.EqualTo(expected));
            for (int cut = 0; cut <= length; cut++)
                Assert.That(Crc32C.Continue(Crc32C.Continue(0, bytes.AsSpan(0, cut)), bytes.AsSpan(cut, length - cut)), Is.EqualTo(~expected));
        }

        Assert.That(Crc32C.Append(7, -2), Is.EqualTo(Crc32C.Append(7, [0xFE, 0xFF, 0xFF, 0xFF])));
        Assert.That(Crc32C.Append(7, 0x0102030405060708), Is.EqualTo(Crc32C.Append(7, [8, 7, 6, 5, 4, 3, 2, 1])));
    }
}
