using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Loom.Raft.Consensus;
using Loom.Raft.Host;
using Loom.Raft.Proposals;
using Loom.Raft.Transport;
using Loom.Server.Certificates;
using Loom.Testing;
using NUnit.Framework;

namespace Loom.Raft.Tests.Transport;

/// <summary>
/// N1, N2 with TLS: lanes carry what they carried, a stranger's certificate and a certificate of another member are refused in words, certificates are renewed under way, and handshakes that nobody
/// finishes cost the members nothing.
/// </summary>
[NonParallelizable]
public sealed class PeerTlsTests
{
    private Issuer issuer = null!;
    private TlsMember east = null!;
    private TlsMember west = null!;
    private int westPort;

    [SetUp]
    public void MakeMembers()
    {
        issuer = Issuer.New("peers", TimeSpan.FromDays(1));
        int[] ports = FreePorts.Take(2);
        westPort = ports[1];
        east = new TlsMember(new MemberId(1), ports[0], issuer);
        west = new TlsMember(new MemberId(2), westPort, issuer);
    }

    [TearDown]
    public void CloseMembers()
    {
        east.Dispose();
        west.Dispose();
        issuer.Dispose();
        Assert.That((east.Events.Failure, west.Events.Failure), Is.EqualTo(((Exception?)null, (Exception?)null)), "a thread of the transport failed");
    }

    [Test]
    public void Messages_of_all_sizes_travel_on_every_lane()
    {
        StartBoth();
        var big = new byte[3 * 1024 * 1024];
        new Random(7).NextBytes(big);
        for (int i = 0; i < 100; i++) east.Transport.Send(Heartbeat(i));
        east.Transport.Send(Append(1, big));
        List<Message> got = west.Events.Take(101);
        Assert.That(got.Where(m => m.Kind == MessageKind.Heartbeat).Select(m => m.Commit), Is.EqualTo(Enumerable.Range(0, 100)));
        Assert.That(got.Single(m => m.Kind == MessageKind.Append).Entries[0].Body.Span.SequenceEqual(big));
        east.Transport.Send(new ForwardProposals(east.Id, west.Id, [new ProposalItem(9, EntryKind.Command, new byte[200_000])]));
        Assert.That(((ForwardProposals)west.Events.TakeForward()).Items[0].Body.Length, Is.EqualTo(200_000));
        Assert.That(() => east.Transport.StatusOf(west.Id).Rtt, Is.LessThan(50).After(3000, 10));
    }

    [Test]
    public void A_bulk_lane_carries_messages_both_ways()
    {
        StartBoth();
        west.Events.OnServe = connection =>
        {
            (FrameKind kind, ReadOnlyMemory<byte> body) = connection.Receive(4 * 1024 * 1024);
            connection.Begin().Bytes(body.Span);
            connection.Send(kind);
            // Until it is closed: who closes first may cut off what is still on its way.
            Assert.That(() => connection.Receive(1), Throws.InstanceOf<IOException>());
        };
        var big = new byte[1024 * 1024];
        new Random(3).NextBytes(big);
        using BulkConnection bulk = east.Transport.Bulk.Dial(west.Id);
        bulk.Begin().Bytes(big);
        bulk.Send(FrameKind.SnapshotChunk);
        Assert.That(bulk.Receive(4 * 1024 * 1024).Body.Span.SequenceEqual(big));
    }

    [Test]
    public void The_death_of_a_peer_is_reported_at_once()
    {
        StartBoth();
        west.Transport.Dispose();
        Assert.That(east.Events.Died.TryTake(out MemberId died, 2000));
        Assert.That(died, Is.EqualTo(west.Id));
    }

    [Test]
    public void A_certificate_of_another_ca_is_refused_on_both_sides()
    {
        using Issuer other = Issuer.New("others", TimeSpan.FromDays(1));
        using var stranger = new TlsMember(west.Id, FreePorts.Take(), other);
        east.Start(stranger);
        stranger.Start(east);
        Assert.That(() => east.Transport.TroubleOf(stranger.Id), Does.Contain("does not come from the CA in").After(3000, 20), "for loom status");
        Assert.That(() => stranger.Log.Lines, Has.Some.Contains("Member m1: ").And.Some.Contains("is not trusted").After(3000, 20));
        Assert.That(east.IsUp(stranger), Is.False);
    }

    /// <summary>The one who dials trusts the port, but the port asks for more than it shows.</summary>
    [Test]
    public void A_caller_that_the_port_does_not_trust_is_refused_by_the_port()
    {
        using Issuer other = Issuer.New("others", TimeSpan.FromDays(1));
        using var stranger = new TlsMember(west.Id, FreePorts.Take(), other);
        File.AppendAllText(stranger["ca.crt"], issuer.Pair.Certificate);
        east.Start(stranger);
        stranger.Start(east);
        Assert.That(() => east.Log.Lines, Has.Some.Contains("Refused a connection of a caller at 127.0.0.1: its certificate").And.Some.Contains("does not come from the CA").After(3000, 20));
        Assert.That(() => stranger.Transport.TroubleOf(east.Id), Does.Contain("behind the TLS handshake").After(3000, 20));
    }

    /// <summary>N2: the identity in the certificate must agree with the one in the hello.</summary>
    [Test]
    public void A_trusted_certificate_of_another_host_is_not_this_member()
    {
        west.Renew(issuer.Issue("m2", ["elsewhere.example"], CertificateUse.Server | CertificateUse.Client));
        east.Start(west);
        west.Start(east);
        Assert.That(() => east.Log.Lines, Has.Some.Contains("is not good for where that member is (https://127.0.0.1:").After(3000, 20), "as a caller");
        Assert.That(() => east.Transport.TroubleOf(west.Id), Does.Contain("is not good for the host 127.0.0.1").After(3000, 20), "as the one who is dialled");
        Assert.That(() => west.Transport.TroubleOf(east.Id), Does.Contain("is not good for where that member is").After(3000, 20), "and is told why");
        Assert.That(east.IsUp(west), Is.False);
    }

    /// <summary>N2, E1: a fresh id under a member's name takes that member's place, so a certificate that is good for where the caller says to be is not enough.</summary>
    [Test]
    public void A_newcomer_under_a_members_name_must_be_at_home_where_that_member_is()
    {
        string elsewhere = $"https://elsewhere.example:{westPort}";
        east.Start(west, elsewhere);
        using var impostor = new TlsMember(new MemberId(9), FreePorts.Take(), issuer);
        impostor.Start(east, name: "m2");
        Assert.That(() => east.Log.Lines, Has.Some.Contains($"m2 ({impostor.Id}): the certificate of m2").And.Some.Contains($"is not good for where that member is ({elsewhere})").After(3000, 20));
        using var stranger = new TlsMember(new MemberId(8), FreePorts.Take(), issuer);
        stranger.Start(east);
        Assert.That(() => east.Log.Lines, Has.Some.Contains("m8 (").And.Some.Contains("does not know the caller yet").After(3000, 20), "under a name of its own it is the gate's to judge");
        west.Start(east);
    }

    /// <summary>N2: the hello, too, is behind the handshake's deadline; one record may be 16 KiB, and a byte now and then keeps a receive alive.</summary>
    [Test]
    public void A_hello_that_comes_byte_by_byte_ends_with_the_handshakes_deadline()
    {
        StartBoth(new LaneSettings { HandshakeLimit = 500_000_000 });
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        socket.Connect(IPAddress.Loopback, westPort);
        using var read = X509Certificate2.CreateFromPemFile(east["peer.crt"], east["peer.key"]);
        using var certificate = X509CertificateLoader.LoadPkcs12(read.Export(X509ContentType.Pkcs12), null);
        using var tls = new SslStream(new NetworkStream(socket));
        tls.AuthenticateAsClient(new SslClientAuthenticationOptions { TargetHost = "127.0.0.1", ClientCertificates = [certificate], RemoteCertificateValidationCallback = (_, shown, _, _) => shown?.Issuer == read.Issuer });
        _ = socket.Send([0x17, 3, 3, 0x40, 0]);
        Assert.That(
            () =>
            {
                for (int i = 0; i < 200; i++)
                {
                    Thread.Sleep(50);
                    _ = socket.Send([0]);
                }
            },
            Throws.InstanceOf<SocketException>(),
            "it was closed within ten seconds");
    }

    /// <summary>A trusted certificate may still be one that the code that looks at it cannot read; the thread that dials ends with anything but what it knows.</summary>
    [Test]
    public void Whatever_breaks_in_a_handshake_is_that_connections_trouble()
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        Assert.That(
            () => PeerTls.Shake(socket, 0, static () => 0, new TlsCheck(), static _ => throw new CryptographicException("ASN1 corrupted data.")),
            Throws.InstanceOf<PeerTlsException>().With.Message.EqualTo("the TLS handshake failed with CryptographicException: ASN1 corrupted data."));
    }

    [Test]
    public void A_port_that_checks_nobody_says_so()
    {
        StartBoth();
        Assert.That(west.Log.Lines, Has.None.Contains("checks nobody"));
        west.Transport.Dispose();
        west.Options!.TrustedCaFile = null;
        west.Options.ClientCertificateRequired = false;
        west.Start(east);
        Assert.That(west.Log.Lines, Has.Some.Contains("checks nobody").And.Some.Contains("--peer-trusted-ca-file"));
    }

    [Test]
    public void A_common_name_that_is_not_allowed_is_refused()
    {
        east.Options!.AllowedCommonNames = ["m2"];
        west.Options!.AllowedCommonNames = ["somebody"];
        east.Start(west);
        west.Start(east);
        Assert.That(() => west.Transport.TroubleOf(east.Id), Does.Contain("has not the common name somebody").After(3000, 20));
        Assert.That(east.IsUp(west), Is.False);
    }

    [Test]
    public void A_member_in_cleartext_and_one_with_tls_tell_each_other_so()
    {
        using var plain = new TlsMember(west.Id, westPort, null);
        east.Start(plain, $"https://127.0.0.1:{westPort}");
        plain.Start(east, east.Url.Replace("https", "http", StringComparison.Ordinal));
        Assert.That(() => east.Transport.TroubleOf(plain.Id), Does.Contain("it speaks cleartext, and its URL here is https://").After(3000, 20));
        Assert.That(() => plain.Transport.TroubleOf(east.Id), Does.Contain("it speaks TLS, and its URL here is http://").After(3000, 20));
        Assert.That(() => east.Log.Lines, Has.Some.Contains("it speaks cleartext, and this port speaks TLS").After(3000, 20));
        Assert.That(() => plain.Log.Lines, Has.Some.Contains("it speaks TLS, and this port does not").After(3000, 20));
    }

    [Test]
    public void An_https_url_without_a_certificate_says_what_is_missing()
    {
        using var plain = new TlsMember(new MemberId(3), FreePorts.Take(), null);
        east.Start(plain);
        plain.Start(east);
        Assert.That(() => plain.Transport.TroubleOf(east.Id), Does.Contain("--peer-cert-file").After(3000, 20));
        Assert.That(
            () => new PeerTransport(plain.Id, [], [east.Url], new Dictionary<string, TimeSpan>(), 1, LaneTests.Context(new LaneEvents(), new LaneSettings(), plain.Id)),
            Throws.InstanceOf<RaftException>().With.Message.Contains("--peer-cert-file"));
    }

    /// <summary>Both members get pairs of a new CA, one after the other, with both CAs trusted meanwhile; lanes are broken in between, as a restart would.</summary>
    [Test]
    public void Certificates_and_ca_are_renewed_under_way()
    {
        StartBoth();
        using Issuer next = Issuer.New("next", TimeSpan.FromDays(1));
        foreach (TlsMember member in (TlsMember[])[east, west]) Trust(member, next);
        foreach (TlsMember member in (TlsMember[])[east, west])
        {
            member.Renew(next.Issue($"m{member.Id}", ["127.0.0.1"], CertificateUse.Server | CertificateUse.Client));
            east.Transport.Send(Heartbeat(1));
            Assert.That(west.Events.Take(1)[0].Commit, Is.EqualTo(1), "open lanes go on");
            east.Transport.HangUp(west.Id);
            west.Transport.HangUp(east.Id);
            WaitUntilUp();
        }
        Assert.That(east.Log.Lines, Has.Some.Contains("was renewed"));
        File.WriteAllText(west["peer.key"], "half");
        west.Renew(new IssuedPair("half", "half"));
        east.Transport.HangUp(west.Id);
        WaitUntilUp();
        Assert.That(west.Log.Lines, Has.Some.Contains("the one before stays in use"));
    }

    /// <summary>N2: method: a hundred connections of which some say nothing, some half a record, some one byte every 50 ms; heartbeats flow meanwhile and a new connection gets through.</summary>
    [Test]
    public void Handshakes_that_nobody_finishes_delay_no_heartbeat()
    {
        StartBoth(new LaneSettings { HandshakeLimit = 500_000_000 });
        var stop = new CancellationTokenSource();
        var attackers = new Thread(() => Attack(stop.Token));
        attackers.Start();
        try
        {
            double longest = 0;
            for (int i = 0; i < 100; i++)
            {
                long start = MonotonicClock.Nanoseconds;
                east.Transport.Send(Heartbeat(i));
                Assert.That(west.Events.Take(1)[0].Commit, Is.EqualTo(i));
                longest = Math.Max(longest, (MonotonicClock.Nanoseconds - start) / 1e6);
                Thread.Sleep(10);
            }
            Assert.That(longest, Is.LessThan(500), "ms from a send to its arrival");
            east.Transport.HangUp(west.Id);
            WaitUntilUp();
        }
        finally
        {
            stop.Cancel();
            attackers.Join();
        }
    }

    /// <summary>N2: a member far away takes longer for its handshake than a machine nearby for a hundred connections.</summary>
    [Test]
    public void A_flood_from_one_address_keeps_no_other_one_out()
    {
        StartBoth(new LaneSettings { HandshakeLimit = 10_000_000_000 });
        using Socket slow = Dial(IPAddress.Loopback);
        var flood = new List<Socket>();
        for (int i = 0; i < 100; i++) flood.Add(Dial(IPAddress.Parse("127.0.0.2")));
        Assert.That(() => flood.Count(IsClosed), Is.GreaterThanOrEqualTo(68).After(3000, 20), "32 may be unfinished");
        Assert.That(IsClosed(slow), Is.False);
        foreach (Socket socket in flood) socket.Dispose();
    }

    private Socket Dial(IPAddress from)
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        socket.Bind(new IPEndPoint(from, 0));
        socket.Connect(IPAddress.Loopback, westPort);
        return socket;
    }

    private static bool IsClosed(Socket socket) => socket.Poll(0, SelectMode.SelectRead);

    private static void Trust(TlsMember member, Issuer issuer)
    {
        File.AppendAllText(member["ca.crt"], issuer.Pair.Certificate);
        member.AMomentLater();
    }

    private void Attack(CancellationToken stop)
    {
        var held = new Queue<Socket>();
        byte[] hello = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3, 3];
        for (int i = 0; !stop.IsCancellationRequested; i++)
        {
            var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            held.Enqueue(socket);
            try
            {
                socket.Connect(IPAddress.Loopback, westPort);
                if (i % 3 == 1) _ = socket.Send(hello);
                foreach (Socket slow in held.Take(20)) _ = slow.Send(hello.AsSpan(0, 1));
            }
            catch (SocketException)
            {
                // Closed from the other side, as it should be.
            }
            if (held.Count > 100) held.Dequeue().Dispose();
            Thread.Sleep(20);
        }
        foreach (Socket socket in held) socket.Dispose();
    }

    private void StartBoth(LaneSettings? settings = null)
    {
        east.Start(west, settings: settings);
        west.Start(east, settings: settings);
        WaitUntilUp();
    }

    private void WaitUntilUp() =>
        Assert.That(() => east.IsUp(west) && west.IsUp(east), Is.True.After(6000, 5), () => string.Join('\n', east.Log.Lines.Concat(west.Log.Lines)));

    private Message Append(long index, byte[] body) => new()
    {
        Kind = MessageKind.Append,
        From = east.Id,
        To = west.Id,
        Term = 1,
        Index = index,
        Entries = [new Entry(index + 1, 1, EntryKind.Command, 0, body)],
    };

    private Message Heartbeat(long commit) => new() { Kind = MessageKind.Heartbeat, From = east.Id, To = west.Id, Term = 1, Commit = commit };
}
