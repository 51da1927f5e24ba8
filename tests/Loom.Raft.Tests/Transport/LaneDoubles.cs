using System.Collections.Concurrent;
using Loom.Raft.Consensus;
using Loom.Raft.Membership;
using Loom.Raft.Proposals;
using Loom.Raft.Transport;
using NUnit.Framework;

namespace Loom.Raft.Tests.Transport;

/// <summary>Keeps what a transport tells its owner.</summary>
internal sealed class LaneEvents : IPeerEvents
{
    private readonly BlockingCollection<Message> messages = [];
    private readonly BlockingCollection<ForwardMessage> forwards = [];
    private int heard;
    private volatile Exception? failure;

    public BlockingCollection<MemberId> Died { get; } = [];

    public int HeardCount => heard;

    /// <summary>Of a thread of the transport.</summary>
    public Exception? Failure => failure;

    public List<Message> Take(int count)
    {
        Assert.That(failure, Is.Null);
        List<Message> taken = [];
        while (taken.Count < count)
        {
            Assert.That(messages.TryTake(out Message? message, 5000), $"{taken.Count} of {count} messages arrived");
            taken.Add(message!);
        }
        return taken;
    }

    public ForwardMessage TakeForward()
    {
        Assert.That(forwards.TryTake(out ForwardMessage? message, 5000));
        return message!;
    }

    public void Received(Message message, int bytes) => messages.Add(message);

    public void Received(ForwardMessage message, int bytes) => forwards.Add(message);

    public void Heard(MemberId peer) => Interlocked.Increment(ref heard);

    public void ProcessDied(MemberId peer) => Died.Add(peer);

    public void LaneChanged(MemberId peer, LaneKind lane, bool up)
    {
    }

    /// <summary>What is done with a bulk lane that was dialled; nothing: it is closed.</summary>
    public Action<BulkConnection> OnServe { get; set; } = static _ => { };

    public void Serve(BulkConnection connection) => OnServe(connection);

    public void Failed(Exception error) => failure = error;
}

/// <summary>Lets everyone in who knows the right id.</summary>
internal sealed class OpenGate(MemberId self, string? name = null, string? url = null) : IPeerGate
{
    /// <summary>The name of whom judging fails.</summary>
    public const string Poison = "poison";

    public PeerHello Hello(MemberId to, LaneKind lane) => new()
    {
        Lane = lane,
        TokenHash = 1,
        ClusterId = 1,
        Proposal = 0,
        From = self,
        To = to,
        Incarnation = 1,
        Process = 1,
        Name = name ?? $"m{self}",
        Datacenter = "dc",
        Role = MemberRole.Voter,
        PeerUrls = url is null ? [] : [url],
        ClientUrls = [],
        ConfigurationHash = 1,
        PinnedForYou = 1,
        Initial = [],
    };

    /// <summary>Name and URL of a member that is configured.</summary>
    public (string Name, string Url)? Configured { get; init; }

    public IReadOnlyList<string> UrlsOf(string named) => Configured is { } known && known.Name == named ? [known.Url] : [];

    public HelloAnswer Judge(PeerHello hello, out bool news)
    {
        news = false;
        if (hello.Name == Poison) throw new InvalidOperationException("a bug of the gate");
        return new HelloAnswer(hello.To == self ? HelloVerdict.Accepted : HelloVerdict.WrongMember, "", Hello(hello.From, hello.Lane));
    }

    public HelloAnswer Answered(MemberId peer, HelloAnswer answer) => answer;
}
