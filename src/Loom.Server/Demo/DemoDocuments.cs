using System.Text;
using System.Text.Json;

namespace Loom.Server.Demo;

/// <summary>
/// The documents of the demo: what the provisioning servers of the product's story stored. A cluster is made by a job of tasks that run on nodes; JSON of 200 B to 20 kB.
/// </summary>
internal static class DemoDocuments
{
    private static readonly string[] Stages = ["create", "confirm", "bootstrap", "install", "configure", "start"];
    private static readonly string[] Services = ["nginx", "postgresql", "haproxy", "kafka", "zookeeper", "redis", "hadoop-namenode", "hadoop-datanode"];

    public static byte[] Cluster(string id, string tenant, string owner, string status, string job, Random random) => Serialize(new
    {
        id,
        tenant,
        owner,
        status,
        latestJob = job,
        provider = "rackspace",
        services = Enumerable.Range(0, 2 + random.Next(4)).Select(_ => Services[random.Next(Services.Length)]).Distinct().ToArray(),
        expireTime = 0,
        config = Filler(random, ClusterBytes(random)),
    });

    public static byte[] Job(string id, string cluster, string status, int tasks) => Serialize(new { id, cluster, type = "CLUSTER_CREATE", status, tasks, stages = Stages });

    public static byte[] Task(string id, string job, string status, string worker, int attempt) => Serialize(new { id, job, action = "INSTALL", status, worker, attempt, config = new { sshUser = "root", hostname = id + ".local", flavor = "medium", image = "debian-12" } });

    public static byte[] Node(string id, string cluster, string status, Random random) => Serialize(new { id, cluster, status, hostname = id + ".local", ip = $"10.{random.Next(256)}.{random.Next(256)}.{random.Next(256)}", actions = Filler(random, 200 + random.Next(1500)) });

    /// <summary>Mostly a kilobyte, now and then up to 20 kB.</summary>
    private static int ClusterBytes(Random random) => random.Next(20) == 0 ? 10_000 + random.Next(9_500) : 300 + random.Next(1_700);

    private static string Filler(Random random, int bytes)
    {
        StringBuilder text = new(bytes);
        while (text.Length < bytes)
        {
            text.Append(Services[random.Next(Services.Length)]).Append('=').Append(random.Next()).Append(';');
        }

        return text.ToString(0, bytes);
    }

    private static byte[] Serialize<T>(T document) => JsonSerializer.SerializeToUtf8Bytes(document);
}
