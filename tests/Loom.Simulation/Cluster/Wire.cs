using Loom.Raft.Consensus;
using Loom.Raft.Proposals;
using Loom.Raft.Transport;

namespace Loom.Simulation.Cluster;

/// <summary>What travels is bytes: each message goes through the product's own codec, so no member ever sees another's objects.</summary>
internal static class Wire
{
    [ThreadStatic] private static WireWriter? writer;

    public static Message Copy(Message message)
    {
        WireWriter bytes = writer ??= new WireWriter();
        bytes.Clear();
        MessageCodec.Encode(bytes, message);
        return MessageCodec.Decode(bytes.Written);
    }

    public static ForwardMessage Copy(ForwardMessage message)
    {
        WireWriter bytes = writer ??= new WireWriter();
        bytes.Clear();
        ForwardCodec.Encode(bytes, message);
        return ForwardCodec.Decode(bytes.Written);
    }
}
