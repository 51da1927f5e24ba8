using System.Diagnostics;
using Loom.Raft.Snapshots;
using Loom.Raft.Transport;
using NUnit.Framework;

namespace Loom.Raft.Tests.Snapshots;

/// <summary>Whole transfers over real sockets and threads (S4), of a state of bytes.</summary>
public sealed class TransferTests
{
    private const int Megabyte = 1024 * 1024;

    [Test]
    public void A_state_arrives_as_it_was_captured()
    {
        using var cluster = new TransferCluster(["a", "b"]);
        byte[] state = cluster[2].State = RandomBytes(20 * Megabyte);
        cluster[1].Fetcher.Want(900);
        (SnapshotManifest manifest, ByteInstallation got) = cluster[1].Take();
        Assert.That(got.Bytes.AsSpan().SequenceEqual(state));
        Assert.That((manifest.At.Index, manifest.At.Term, manifest.Source), Is.EqualTo((TransferMember.Index, 3L, TransferCluster.IdOf(2))));
        Assert.That(manifest.At.Section.ToArray(), Is.EqualTo(new byte[] { 9 }));
        Assert.That(() => cluster[2].Source.Held, Is.Zero.After(2000, 5), "the capture is given back at once");
    }

    [Test]
    public void An_empty_state_arrives_too()
    {
        using var cluster = new TransferCluster(["a", "b"]);
        cluster[2].State = [];
        cluster[1].Fetcher.Want(1);
        Assert.That(cluster[1].Take().Installation.Length, Is.Zero);
    }

    /// <summary>The connection breaks at random places, on either side, in the middle of whatever travels: what has arrived is never sent again, and the whole is equal.</summary>
    [Test]
    public void A_broken_transfer_goes_on_where_it_stood([Values(1, 2, 3)] int seed)
    {
        var random = new Random(seed);
        using var cluster = new TransferCluster(["a", "b"], bytesPerSecond: 100 * Megabyte);
        byte[] state = cluster[2].State = RandomBytes(16 * Megabyte);
        var breaks = new Queue<long>(Enumerable.Range(0, 6).Select(_ => random.NextInt64(1, state.Length)).Order());
        bool here = false;
        cluster[1].OnBegun = begun => begun.OnWrite = at =>
        {
            if (breaks.TryPeek(out long next) && at >= next && (here = !here)) HangUp();
        };
        BulkConnection? served = null;
        cluster[2].Events.OnServe = connection => cluster[2].Source.Serve(served = connection);
        cluster[2].OnCaptured = captured => captured.OnRead = at =>
        {
            if (breaks.TryPeek(out long next) && at >= next && !here)
            {
                _ = breaks.TryDequeue(out _);
                served!.Dispose();
            }
        };
        cluster[1].Fetcher.Want(900);
        Assert.That(cluster[1].Take().Installation.Bytes.AsSpan().SequenceEqual(state));
        Assert.That(breaks, Is.Empty);
        Assert.That(cluster[1].Begun, Has.Count.EqualTo(1), "one installation all the time");
        ByteState sent = cluster[2].Captured.Single();
        Assert.That(sent.FirstReads, Is.EqualTo(1), "the first chunk is sent once");
        Assert.That(sent.BytesRead, Is.LessThan(state.Length * 3L / 2), "only what was under way is sent again");

        void HangUp()
        {
            _ = breaks.TryDequeue(out _);
            cluster[1].HangUp();
        }
    }

    [Test]
    public void When_the_source_dies_the_next_one_is_asked()
    {
        using var cluster = new TransferCluster(["a", "a", "b"], bytesPerSecond: 100 * Megabyte);
        byte[] state = cluster[2].State = cluster[3].State = RandomBytes(8 * Megabyte);
        cluster[2].OnCaptured = captured => captured.OnRead = at =>
        {
            if (at > 4 * Megabyte) new Thread(cluster[2].Die).Start();
        };
        cluster[1].Fetcher.Want(900);
        (SnapshotManifest manifest, ByteInstallation got) = cluster[1].Take();
        Assert.That(cluster[2].Captured, Has.Count.EqualTo(1), "the one in the same datacenter was asked first");
        Assert.That(manifest.Source, Is.EqualTo(TransferCluster.IdOf(3)));
        Assert.That(got.Bytes.AsSpan().SequenceEqual(state));
        Assert.That(cluster[1].Begun[0].Disposed, "what the dead one had sent is deleted");
    }

    /// <summary>A damaged record at the source passes the frames' checksums; the installation finds it, and another member's copy is taken.</summary>
    [Test]
    public void Damage_at_the_source_is_refused_and_another_is_asked()
    {
        using var cluster = new TransferCluster(["a", "a", "b"]);
        byte[] state = cluster[2].State = cluster[3].State = RandomBytes(4 * Megabyte);
        cluster[2].OnCaptured = static captured => captured.DamagedAt = 3 * Megabyte;
        cluster[1].Fetcher.Want(900);
        (SnapshotManifest manifest, ByteInstallation got) = cluster[1].Take();
        Assert.That(manifest.Source, Is.EqualTo(TransferCluster.IdOf(3)));
        Assert.That(got.Bytes.AsSpan().SequenceEqual(state));
        Assert.That(cluster[2].Captured, Has.Count.EqualTo(1));
    }

    [Test]
    public void A_source_that_cannot_read_its_state_says_so_and_another_is_asked()
    {
        using var cluster = new TransferCluster(["a", "a", "b"]);
        byte[] state = cluster[2].State = cluster[3].State = RandomBytes(4 * Megabyte);
        cluster[2].OnCaptured = static captured => captured.OnRead = static at =>
        {
            if (at > Megabyte) throw new RaftException(RaftErrorCode.Corruption, "a record is damaged");
        };
        cluster[1].Fetcher.Want(900);
        (SnapshotManifest manifest, ByteInstallation got) = cluster[1].Take();
        Assert.That(manifest.Source, Is.EqualTo(TransferCluster.IdOf(3)));
        Assert.That(got.Bytes.AsSpan().SequenceEqual(state));
    }

    /// <summary>A bit flipped on the way is found by its frame's checksum; the rest comes on a new connection, without beginning anew.</summary>
    [Test]
    public void Damage_on_the_way_breaks_the_connection_and_no_more()
    {
        FlippingProxy? proxy = null;
        using var cluster = new TransferCluster(["a", "b"], dialled: port => (proxy = new FlippingProxy(port, 3 * Megabyte)).Port);
        byte[] state = cluster[2].State = RandomBytes(8 * Megabyte);
        cluster[1].Fetcher.Want(900);
        Assert.That(cluster[1].Take().Installation.Bytes.AsSpan().SequenceEqual(state));
        Assert.That(proxy!.Flips, Is.EqualTo(1));
        Assert.That(cluster[1].Begun, Has.Count.EqualTo(1));
        Assert.That(cluster[2].Captured.Single().FirstReads, Is.EqualTo(1));
        proxy.Dispose();
    }

    /// <summary>A receiver slower than its source: the source waits, and what lies between them is what sockets hold.</summary>
    [Test]
    public void A_slow_receiver_makes_the_source_wait()
    {
        using var cluster = new TransferCluster(["a", "b"]);
        cluster[2].State = RandomBytes(48 * Megabyte);
        long lead = 0;
        cluster[1].OnBegun = begun => begun.OnWrite = at =>
        {
            lead = Math.Max(lead, cluster[2].Captured[0].BytesRead - at);
            Thread.Sleep(1);
        };
        cluster[1].Fetcher.Want(900);
        _ = cluster[1].Take(60);
        Assert.That(lead, Is.LessThan(24 * Megabyte));
    }

    [Test]
    public void The_rate_limit_holds()
    {
        using var cluster = new TransferCluster(["a", "b"], bytesPerSecond: 16 * Megabyte);
        cluster[2].State = RandomBytes(16 * Megabyte);
        long start = Stopwatch.GetTimestamp();
        cluster[1].Fetcher.Want(900);
        _ = cluster[1].Take();
        double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        Assert.That(seconds, Is.GreaterThan(0.9).And.LessThan(5));
    }

    [Test]
    public void A_third_receiver_is_refused_until_there_is_a_place()
    {
        using var cluster = new TransferCluster(["a", "b", "c", "d"], bytesPerSecond: 16 * Megabyte);
        byte[] state = cluster[4].State = RandomBytes(4 * Megabyte);
        int most = 0;
        cluster[4].OnCaptured = captured => captured.OnRead = _ => most = Math.Max(most, cluster[4].Source.Held);
        for (int i = 1; i <= 3; i++) cluster[i].Fetcher.Want(900);
        for (int i = 1; i <= 3; i++) Assert.That(cluster[i].Take().Installation.Bytes.AsSpan().SequenceEqual(state), $"member {i}");
        Assert.That(most, Is.EqualTo(2));
    }

    /// <summary>Two members of a datacenter need the state: one fetches it from afar, the other copies it locally (S4).</summary>
    [Test]
    public void One_transfer_enters_a_datacenter()
    {
        using var cluster = new TransferCluster(["a", "a", "b"], bytesPerSecond: 16 * Megabyte);
        byte[] state = cluster[3].State = RandomBytes(8 * Megabyte);
        cluster[1].SaysFetching = cluster[2].SaysFetching = true;
        cluster[1].Fetcher.Want(900);
        cluster[2].Fetcher.Want(900);
        (SnapshotManifest manifest, ByteInstallation first) = cluster[1].Take();
        Assert.That(manifest.Source, Is.EqualTo(TransferCluster.IdOf(3)));
        cluster[1].SaysFetching = false;
        cluster[1].State = first.Bytes;
        (manifest, ByteInstallation second) = cluster[2].Take();
        Assert.That(manifest.Source, Is.EqualTo(TransferCluster.IdOf(1)), "the neighbour's");
        Assert.That(second.Bytes.AsSpan().SequenceEqual(state));
        Assert.That(cluster[3].Captured, Has.Count.EqualTo(1));
    }

    [Test]
    public void The_leader_is_asked_when_no_other_can()
    {
        using var cluster = new TransferCluster(["a", "b", "c"]);
        cluster[1].Leader = TransferCluster.IdOf(2);
        cluster[2].State = RandomBytes(Megabyte);
        cluster[1].Fetcher.Want(900);
        (SnapshotManifest manifest, ByteInstallation first) = cluster[1].Take();
        Assert.That(manifest.Source, Is.EqualTo(TransferCluster.IdOf(2)));
        cluster[3].State = RandomBytes(Megabyte);
        cluster[1].Fetcher.Settled(first);
        Assert.That(cluster[1].Take().Manifest.Source, Is.EqualTo(TransferCluster.IdOf(3)), "and not when another can");
        Assert.That(first.Disposed, "what the replica is done with is disposed of");
    }

    [Test]
    public void When_the_need_ends_nothing_is_handed_over_and_all_is_given_back()
    {
        using var cluster = new TransferCluster(["a", "b"], new SourceLimits { IdleTime = 100_000_000 }, bytesPerSecond: 16 * Megabyte);
        cluster[2].State = RandomBytes(16 * Megabyte);
        cluster[1].OnBegun = begun => begun.OnWrite = at =>
        {
            if (at > 2 * Megabyte) cluster[1].Fetcher.Want(null);
        };
        cluster[1].Fetcher.Want(900);
        Assert.That(() => cluster[2].Captured.Count == 1 && cluster[2].Source.Held == 0, Is.True.After(5000, 5));
        Assert.That(cluster[1].Done, Is.Empty);
    }

    /// <summary>The capture outlives its connection only for a while; a receiver that comes later begins anew.</summary>
    [Test]
    public void A_capture_that_nobody_comes_back_for_is_given_up()
    {
        using var cluster = new TransferCluster(["a", "b"], new SourceLimits { IdleTime = 50_000_000 }, bytesPerSecond: 32 * Megabyte);
        byte[] state = cluster[2].State = RandomBytes(8 * Megabyte);
        bool broken = false;
        cluster[1].OnBegun = begun => begun.OnWrite = at =>
        {
            if (at < 2 * Megabyte || broken) return;
            broken = true;
            cluster[1].HangUp();
            Thread.Sleep(300);
        };
        cluster[1].Fetcher.Want(900);
        Assert.That(cluster[1].Take().Installation.Bytes.AsSpan().SequenceEqual(state));
        Assert.That(cluster[2].Captured, Has.Count.EqualTo(2));
        Assert.That(cluster[1].Begun.Select(b => b.Disposed), Is.EqualTo(new[] { true, false }));
    }

    [Test]
    public void A_capture_is_held_no_longer_than_it_may_be()
    {
        using var cluster = new TransferCluster(["a", "b", "c"], new SourceLimits { Age = 200_000_000 }, bytesPerSecond: 16 * Megabyte);
        cluster[2].State = RandomBytes(16 * Megabyte);
        cluster[1].Fetcher.Want(900);
        Assert.That(() => cluster[2].Captured.Count, Is.GreaterThan(1).After(5000, 5), "asked again for a new one");
        Assert.That(cluster[2].Captured[0].Disposed);
        byte[] small = cluster[2].State = RandomBytes(Megabyte);
        Assert.That(cluster[1].Take().Installation.Bytes.AsSpan().SequenceEqual(small), "what fits into the time arrives");
    }

    [Test]
    public void Closing_in_the_middle_waits_for_nobody()
    {
        var cluster = new TransferCluster(["a", "b"], bytesPerSecond: 16 * Megabyte);
        cluster[2].State = RandomBytes(64 * Megabyte);
        cluster[1].Fetcher.Want(900);
        Assert.That(() => cluster[1].Fetcher.Progress?.Bytes, Is.GreaterThan(Megabyte).After(5000, 5));
        Assert.That(cluster[1].Fetcher.Progress!.From, Is.EqualTo(TransferCluster.IdOf(2)));
        long start = Stopwatch.GetTimestamp();
        cluster.Dispose();
        Assert.That(Stopwatch.GetElapsedTime(start).TotalSeconds, Is.LessThan(3));
        Assert.That(cluster[1].Begun.Single().Disposed);
    }

    private static byte[] RandomBytes(int count)
    {
        var bytes = new byte[count];
        new Random(count).NextBytes(bytes);
        return bytes;
    }
}
