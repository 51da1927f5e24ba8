using Google.Protobuf;
using Loom.Server.Cli;
using Loom.Server.Etcd.Protos;

namespace Loom.Server.Tests.Cli;

[TestFixture]
internal sealed class TxnTextTests
{
    [TestCase("mod(\"key1\") > \"0\"", Compare.Types.CompareTarget.Mod, Compare.Types.CompareResult.Greater)]
    [TestCase("m(key1) > 0", Compare.Types.CompareTarget.Mod, Compare.Types.CompareResult.Greater)]
    [TestCase("ver(\"key1\")=\"0\"", Compare.Types.CompareTarget.Version, Compare.Types.CompareResult.Equal)]
    [TestCase("c(key1) != 0", Compare.Types.CompareTarget.Create, Compare.Types.CompareResult.NotEqual)]
    [TestCase("value(\"key1\") < \"0\"", Compare.Types.CompareTarget.Value, Compare.Types.CompareResult.Less)]
    [TestCase("lease(\"key1\") = \"0\"", Compare.Types.CompareTarget.Lease, Compare.Types.CompareResult.Equal)]
    public void Compares_are_read(string line, Compare.Types.CompareTarget target, Compare.Types.CompareResult result)
    {
        Compare compare = TxnText.ParseCompare(line);
        Assert.Multiple(() =>
        {
            Assert.That(compare.Key.ToStringUtf8(), Is.EqualTo("key1"));
            Assert.That(compare.Target, Is.EqualTo(target));
            Assert.That(compare.Result, Is.EqualTo(result));
        });
    }

    [Test]
    public void Quotes_hold_spaces_and_escapes_any_byte()
    {
        Compare compare = TxnText.ParseCompare("""value("a \"b\"\x00") = "ü \xff" """.Trim());
        Assert.Multiple(() =>
        {
            Assert.That(compare.Key, Is.EqualTo(ByteString.CopyFromUtf8("a \"b\"\0")));
            Assert.That(compare.Value, Is.EqualTo(ByteString.CopyFrom([0xC3, 0xBC, 0x20, 0xFF])));
        });
    }

    [Test]
    public void Words_are_split_as_a_shell_would() =>
        Assert.That(TxnText.Words("put  key \"a value\" 'x y' --lease=1f"), Is.EqualTo(new[] { "put", "key", "a value", "x y", "--lease=1f" }));

    [TestCase("mod(key > 1")]
    [TestCase("mod(key) >= 1")]
    [TestCase("mod(key) > x")]
    [TestCase("size(key) > 1")]
    [TestCase("mod(\"key) > 1")]
    [TestCase("mod(key) > 1 2")]
    [TestCase("key > 1")]
    public void A_line_that_is_none_is_an_error(string line) => Assert.That(() => TxnText.ParseCompare(line), Throws.TypeOf<FormatException>());

    [Test]
    public void Sections_are_separated_by_empty_lines()
    {
        TxnRequest request = TxnText.Parse("mod(a) = 0\n\nput a 1\nput b 2\n\nget a\n", words => new RequestOp { RequestPut = new PutRequest { Key = ByteString.CopyFromUtf8(words[1]) } });
        Assert.That((request.Compare.Count, request.Success.Count, request.Failure.Count), Is.EqualTo((1, 2, 1)));
    }

    [Test]
    public void An_error_names_its_line() =>
        Assert.That(() => TxnText.Parse("mod(a) = 0\n\nbogus\n", _ => throw new FormatException("no")), Throws.TypeOf<CommandException>().With.Message.Contains("line 3"));
}
