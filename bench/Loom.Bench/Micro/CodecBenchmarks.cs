using BenchmarkDotNet.Attributes;
using Loom.Store.Commands;
using Loom.Store.Model;

namespace Loom.Bench.Micro;

/// <summary>A put of 256 bytes to and from the bytes that the log carries.</summary>
public class CodecBenchmarks
{
    private readonly Command put = new PutCommand(new PutOperation("jobs/cluster05/000012345"u8.ToArray(), new byte[256]));
    private byte[] bytes = null!;

    [GlobalSetup]
    public void Encoded() => bytes = CommandWriter.Encode(put);

    [Benchmark]
    public int Encode() => CommandWriter.Encode(put).Length;

    [Benchmark]
    public object Decode() => CommandReader.Decode(bytes);
}
