using CsCheck;
using Loom.Raft.Membership;
using Loom.Raft.Tests.Membership;
using Loom.Raft.Transport;
using NUnit.Framework;

namespace Loom.Raft.Tests.Transport;

/// <summary>A hello is the one thing that a stranger may make this member read: what is in it is bounded when it is decoded, and judged without an exception.</summary>
public sealed class HelloTests
{
    private static readonly InitialMember[] List = [.. new[] { "a", "b", "c" }.Select(n => new InitialMember(n, n, MemberRole.Voter, [$"http://{n}:2380"]))];

    [Test]
    public void A_hello_reads_back_as_it_was_written()
    {
        PeerHello hello = Proposing();
        var reader = new WireReader(Encoded(hello));
        PeerHello read = PeerHello.Decode(ref reader);
        reader.End();
        Assert.That(Describe(read), Is.EqualTo(Describe(hello)));
        Assert.That((read.Proposal, read.Process, read.Initial.Count), Is.EqualTo((hello.Proposal, hello.Process, 3)));
        Assert.That(hello.Proposal, Is.Not.Zero);
    }

    [Test]
    public void Another_version_is_refused_by_name()
    {
        byte[] bytes = Encoded(Proposing());
        bytes[0] = 77;
        Assert.That(() => Decode(bytes), Throws.InstanceOf<WireException>().With.Message.Contains("a hello of version 77").And.Message.Contains("same version of Loom on all members"));
    }

    [Test]
    public void Members_out_of_order_and_too_many_urls_are_refused()
    {
        PeerHello good = Proposing();
        Assert.That(() => Decode(Encoded(good with { Initial = [.. good.Initial.Reverse()] })), Throws.InstanceOf<WireException>());
        Assert.That(() => Decode(Encoded(good with { Initial = [good.Initial[0], good.Initial[0]] })), Throws.InstanceOf<WireException>());
        string[] many = [.. Enumerable.Repeat("u", 256)];
        Assert.That(() => Decode(Encoded(good with { PeerUrls = many })), Throws.InstanceOf<WireException>());
        Assert.That(() => Decode(Encoded(good with { Initial = [good.Initial[0] with { PeerUrls = many }] })), Throws.InstanceOf<WireException>());
    }

    /// <summary>Formed and forming judges, bytes of a proposing and of a formed peer, changed at will.</summary>
    [Test]
    public void Whatever_decodes_is_judged_without_an_exception()
    {
        (FormingMember[] unformed, FormingMember[] formed) = (Trio(), Trio());
        FormingMember.Meet(formed);
        _ = unformed[0].Dial(unformed[1]);
        PeerHello[] hellos = [Proposing(), formed[1].Formation.Hello(formed[0].Id, LaneKind.Control), unformed[1].Formation.Hello(unformed[0].Id, LaneKind.Forward)];
        int judged = 0;
        Gen.Select(Gen.Int[0, 2], Gen.Select(Gen.Int[0, 10_000], Gen.Byte).Array[0, 3]).Sample((which, changes) =>
        {
            byte[] bytes = Encoded(hellos[which]);
            foreach ((int at, byte value) in changes) bytes[at % bytes.Length] = value;
            PeerHello hello;
            try
            {
                hello = Decode(bytes);
            }
            catch (WireException)
            {
                return;
            }
            judged++;
            foreach (FormingMember judge in new[] { unformed[0], formed[0] })
            {
                HelloAnswer answer = judge.Formation.Judge(hello, out _);
                _ = judge.Formation.Answered(hello.From, answer with { Self = hello, Verdict = HelloVerdict.Forming });
            }
        }, iter: 3000, threads: 1);
        Assert.That(judged, Is.GreaterThan(500));
    }

    [Test]
    public void The_lineage_of_a_directory_is_said_and_is_bounded()
    {
        FormingMember[] formed = Trio();
        FormingMember.Meet(formed);
        for (int start = 0; start < StartCount.MaxEarlier + 10; start++) formed[1].Boot();
        PeerHello hello = formed[1].Formation.Hello(formed[0].Id, LaneKind.Control);
        Assert.That(Decode(Encoded(hello)).Earlier, Is.EqualTo(hello.Earlier).And.Count.EqualTo(StartCount.MaxEarlier));
        byte[] tooMany = Encoded(hello with { Earlier = [.. hello.Earlier, 1] });
        Assert.That(() => Decode(tooMany), Throws.InstanceOf<WireException>().With.Message.Contains("names 64 earlier processes, at most 63"));
    }

    private static PeerHello Proposing()
    {
        FormingMember[] all = Trio();
        foreach (FormingMember from in all)
        {
            foreach (FormingMember to in all.Where(m => m != from)) _ = from.Dial(to);
        }
        Assert.That(all[1].Write());
        all[1].Say();
        return all[1].Formation.Hello(all[0].Id, LaneKind.Control);
    }

    private static FormingMember[] Trio() => [.. List.Select((m, i) => new FormingMember(m.Name, 11 + (ulong)i, List))];

    private static byte[] Encoded(PeerHello hello)
    {
        var writer = new WireWriter();
        hello.Encode(writer);
        return [.. writer.Written];
    }

    private static PeerHello Decode(byte[] bytes)
    {
        var reader = new WireReader(bytes);
        PeerHello hello = PeerHello.Decode(ref reader);
        reader.End();
        return hello;
    }

    private static string Describe(PeerHello h) =>
        $"{h with { PeerUrls = [], ClientUrls = [], Initial = [], Earlier = [] }} {string.Join(' ', h.PeerUrls)} {string.Join(' ', h.ClientUrls)} "
        + string.Join(" ", h.Initial.Select(m => $"{m with { PeerUrls = [], ClientUrls = [] }} {string.Join(' ', m.PeerUrls)}"));
}
