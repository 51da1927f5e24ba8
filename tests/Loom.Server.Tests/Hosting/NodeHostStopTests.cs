using System.Reflection;
using Grpc.Net.Client;
using Loom.Raft.Consensus;
using Loom.Server.Configuration;
using Loom.Server.Etcd.Protos;
using Loom.Server.Hosting;
using Loom.Store;
using Loom.Store.Model;
using Loom.Testing;

namespace Loom.Server.Tests.Hosting;

[TestFixture]
internal sealed class NodeHostStopTests
{
    /// <summary>
    /// Goal: each part of a stop may take long, and the whole still fits (N5). Method: a leader whose hand-over nobody takes, a call that never ends,
    /// and a store that needs all but a moment of its own limit to close.
    /// </summary>
    [Test]
    public async Task A_stop_in_which_everything_is_slow_still_closes_the_store()
    {
        int port = FreePorts.Take();
        var settings = new ServeSettings { ListenClientUrls = [$"http://127.0.0.1:{port}"], DataDirectory = Path.GetTempPath() };
        LoomStore inner = ImmediateNode.OpenStore();
        ILoomStore slow = DispatchProxy.Create<ILoomStore, SlowStore>();
        ((SlowStore)slow).Inner = inner;
        var output = new StringWriter();
        using var stop = new CancellationTokenSource();
        var host = new NodeHost(settings, (_, _, _) => Task.FromResult(slow), TextWriter.Synchronized(output));
        Task<int> run = host.RunAsync(stop.Token);
        using var channel = GrpcChannel.ForAddress($"http://127.0.0.1:{port}");
        await ((SlowStore)slow).Ready.Task.WaitAsync(TimeSpan.FromSeconds(20));
        Task<RangeResponse> endless = new KV.KVClient(channel).RangeAsync(new RangeRequest { Key = Google.Protobuf.ByteString.CopyFromUtf8("k") }).ResponseAsync;
        await ((SlowStore)slow).Called.Task.WaitAsync(TimeSpan.FromSeconds(20));

        await stop.CancelAsync();
        Assert.That(await run.WaitAsync(TimeSpan.FromSeconds(20)), Is.Zero);
        Assert.That(output.ToString(), Does.Contain("loom: stopped").And.Not.Contain("not closed within"));
        Assert.That(async () => await endless, Throws.InstanceOf<Grpc.Core.RpcException>());
        await inner.DisposeAsync();
    }

    /// <summary>The store's interface with three answers of its own; everything else is the inner store's.</summary>
    internal class SlowStore : DispatchProxy
    {
        public ILoomStore Inner { get; set; } = null!;

        public TaskCompletionSource Ready { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public TaskCompletionSource Called { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        protected override object? Invoke(MethodInfo? targetMethod, object?[]? args)
        {
            switch (targetMethod!.Name)
            {
                case "get_Status":
                    LoomStatus status = Inner.Status;
                    Raft.Membership.Member self = status.Configuration.Members[0];
                    return status with { Configuration = status.Configuration with { Members = [self, self with { Id = new MemberId(7), Name = "other" }] } };
                case nameof(ILoomStore.As):
                    // As slow for every caller.
                    return this;
                case nameof(ILoomStore.TransferLeadershipAsync):
                    return new ValueTask(Task.Delay(Timeout.Infinite, (CancellationToken)args![1]!));
                case nameof(ILoomStore.RangeAsync):
                    Called.TrySetResult();
                    return new ValueTask<RangeResult>(new TaskCompletionSource<RangeResult>().Task);
                case nameof(ILoomStore.ReadBarrierAsync):
                    Ready.TrySetResult();
                    return targetMethod.Invoke(Inner, args);
                case nameof(IAsyncDisposable.DisposeAsync):
                    return new ValueTask(Task.Delay(2400));
                default:
                    return targetMethod.Invoke(Inner, args);
            }
        }
    }
}
