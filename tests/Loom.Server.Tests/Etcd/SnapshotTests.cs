using Google.Protobuf;
using Grpc.Core;
using Loom.Server.Configuration;
using Loom.Server.Etcd;
using Loom.Server.Etcd.Protos;
using Loom.Server.Tests.Hosting;
using Loom.Store;

namespace Loom.Server.Tests.Etcd;

/// <summary>Maintenance.Snapshot as a stream: what its messages say, and what becomes of who reads slowly, or asks for too many.</summary>
[TestFixture]
internal sealed class SnapshotTests
{
    [Test]
    public async Task Blobs_are_an_archive_and_remaining_bytes_are_zero_at_the_last_alone()
    {
        await using TestNode node = await FilledAsync(40, 20_000);
        using AsyncServerStreamingCall<SnapshotResponse> call = new Maintenance.MaintenanceClient(node.Channel).Snapshot(new SnapshotRequest());
        List<ulong> remaining = [];
        using MemoryStream archive = new();
        await foreach (SnapshotResponse response in call.ResponseStream.ReadAllAsync())
        {
            remaining.Add(response.RemainingBytes);
            response.Blob.WriteTo(archive);
            Assert.That(response.Blob.Length, Is.LessThanOrEqualTo(32 * 1024));
        }

        Assert.That(remaining[^1], Is.Zero);
        Assert.That(remaining[..^1], Is.All.Positive);
        Assert.That(remaining, Is.Ordered.Descending);
        Assert.That((double)remaining[0], Is.EqualTo(archive.Length).Within(5).Percent);
        string file = Path.GetTempFileName();
        await File.WriteAllBytesAsync(file, archive.ToArray());
        Assert.That(LoomBackup.Verify(file).Keys, Is.EqualTo(40));
        File.Delete(file);
    }

    [Test]
    public async Task Who_stops_reading_is_let_go_and_the_others_are_served_meanwhile()
    {
        await using TestNode node = await FilledAsync(400, 100_000, settings => settings with { Limits = new EtcdLimits { SnapshotPatience = TimeSpan.FromMilliseconds(300) } });
        using AsyncServerStreamingCall<SnapshotResponse> call = new Maintenance.MaintenanceClient(node.Channel).Snapshot(new SnapshotRequest());
        Assert.That(await call.ResponseStream.MoveNext(CancellationToken.None), Is.True);
        await node.Store.PutAsync("k"u8.ToArray(), "v"u8.ToArray());
        await Task.Delay(1000);
        RpcException? fault = null;
        long bytes = 0;
        try
        {
            await foreach (SnapshotResponse response in call.ResponseStream.ReadAllAsync())
            {
                bytes += response.Blob.Length;
            }
        }
        catch (RpcException exception)
        {
            fault = exception;
        }

        // The stream is reset in the middle of a write; what the reset is called depends on how far that write was.
        Assert.That(fault?.StatusCode, Is.AnyOf(StatusCode.Cancelled, StatusCode.Internal, StatusCode.DeadlineExceeded));
        Assert.That(bytes, Is.LessThan(40_000_000), "what the node made ahead of its reader is bounded by the connection's window");
    }

    private static async Task<TestNode> FilledAsync(int keys, int bytes, Func<ServeSettings, ServeSettings>? change = null)
    {
        TestNode node = await TestNode.StartAsync(change);
        for (int i = 0; i < keys; i++)
        {
            await node.Kv.PutAsync(new PutRequest { Key = ByteString.CopyFromUtf8($"{i:d6}"), Value = ByteString.CopyFrom(new byte[bytes]) });
        }

        return node;
    }
}
