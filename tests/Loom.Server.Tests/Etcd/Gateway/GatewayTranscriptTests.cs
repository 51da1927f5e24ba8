using Loom.Server.Tests.Hosting;

namespace Loom.Server.Tests.Etcd.Gateway;

/// <summary>
/// Goal: the gateway answers as etcd's, byte for byte. Method: the requests of <see cref="GatewayScript"/> on a new, empty store; etcd's answers are recorded in Transcripts/gateway.txt, and where
/// etcd is installed the record itself is checked against it. LOOM_RECORD=DIRECTORY writes a new one.
/// </summary>
[TestFixture]
internal sealed class GatewayTranscriptTests
{
    [Test]
    public async Task The_gateway_answers_as_recorded_from_etcd()
    {
        await using TestNode node = await TestNode.StartAsync(options: new Loom.Store.LoomOptions { PasswordCost = 4 });
        TranscriptTests.Compare(await GatewayTranscript.RecordAsync(node.Endpoint, GatewayScript.Requests()), TranscriptTests.Recorded("gateway"));
    }

    [Test]
    public async Task Etcd_s_gateway_answers_as_recorded()
    {
        using EtcdProcess etcd = await EtcdProcess.StartAsync();
        string now = await GatewayTranscript.RecordAsync(etcd.Endpoint, GatewayScript.Requests());
        if (Environment.GetEnvironmentVariable("LOOM_RECORD") is { Length: > 0 } directory)
        {
            await File.WriteAllTextAsync(Path.Combine(directory, "gateway.txt"), now);
            Assert.Ignore($"recorded to {directory}/gateway.txt");
        }

        TranscriptTests.Compare(now, TranscriptTests.Recorded("gateway"));
    }
}
