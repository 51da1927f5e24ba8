using System.CommandLine;
using System.Globalization;
using Loom.Server.Certificates;

namespace Loom.Server.Cli;

/// <summary><c>loom certs dev</c>: a CA and certificates to try TLS with, and the commands that use them.</summary>
internal static class CertsCommand
{
    public static Command Create(CommandContext context)
    {
        var directory = new Option<string>("--dir") { DefaultValueFactory = _ => "loom-certs", HelpName = "directory", Description = "where to write them; must not exist" };
        var hosts = new Option<string[]>("--host") { AllowMultipleArgumentsPerToken = false, HelpName = "name or address", Description = "host for which they are good beside localhost; may be repeated" };
        var days = new Option<int>("--days") { DefaultValueFactory = _ => 365, Description = "how long they are good" };
        var dev = new Command("dev", "Make a CA and certificates for members in three datacenters and a client, for development");
        dev.Options.Add(directory);
        dev.Options.Add(hosts);
        dev.Options.Add(days);
        dev.SetAction(parsed =>
        {
            string path = parsed.GetValue(directory)!;
            int valid = parsed.GetValue(days);
            string[] names = [.. (parsed.GetValue(hosts) ?? []).SelectMany(h => h.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))];
            if (valid is < 1 or > 36_500 || Array.Find(names, n => Uri.CheckHostName(n) == UriHostNameType.Unknown) is not null)
            {
                string bad = valid is < 1 or > 36_500 ? $"--days is {valid}" : $"--host has '{Array.Find(names, n => Uri.CheckHostName(n) == UriHostNameType.Unknown)}'";
                ErrorText.Write(context.Error, bad, valid is < 1 or > 36_500 ? "write 1 to 36500" : "write a host name or an IP address, without a port");
                return ExitCode.Usage;
            }

            try
            {
                DevelopmentCertificates.Write(path, names, TimeSpan.FromDays(valid));
            }
            catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
            {
                ErrorText.Write(context.Error, exception.Message, "choose another directory with --dir, or remove that one");
                return ExitCode.Failure;
            }

            WriteUse(context.Output, path);
            context.Output.Flush();
            return ExitCode.Ok;
        });
        var command = new Command("certs", "Certificates to try TLS with");
        command.Subcommands.Add(dev);
        return command;
    }

    private static void WriteUse(TextWriter output, string path)
    {
        string At(string file) => Path.Combine(path, file);
        string cluster = string.Join(',', DevelopmentCertificates.Members.Select((m, i) => $"{m.Name}@{m.Datacenter}={Url(i, 2380)}"));
        output.WriteLine($"Certificates for development are in {path}. Each member needs its own directory and the two CA certificates; keep ca.key and peer-ca.key away from servers.");
        output.WriteLine();
        for (int i = 0; i < DevelopmentCertificates.Members.Count; i++)
        {
            (string name, _) = DevelopmentCertificates.Members[i];
            output.WriteLine($"loom serve --name {name} --data-dir {name} --initial-cluster {cluster} \\");
            output.WriteLine($"  --listen-client-urls {Url(i, 2379)} \\");
            output.WriteLine($"  --cert-file {At($"{name}/server.crt")} --key-file {At($"{name}/server.key")} --client-cert-auth --trusted-ca-file {At(DevelopmentCertificates.ClientCa)} \\");
            output.WriteLine($"  --peer-cert-file {At($"{name}/peer.crt")} --peer-key-file {At($"{name}/peer.key")} --peer-client-cert-auth --peer-trusted-ca-file {At(DevelopmentCertificates.PeerCa)}");
            output.WriteLine();
        }

        string client = $"--cacert {At(DevelopmentCertificates.ClientCa)} --cert {At("client.crt")} --key {At("client.key")}";
        output.WriteLine($"loom status --endpoints {Url(0, 2379)} {client}");
        output.WriteLine($"etcdctl --endpoints {Url(0, 2379)} {client} put hello world");
    }

    private static string Url(int member, int port) => string.Create(CultureInfo.InvariantCulture, $"https://127.0.0.1:{(member * 10_000) + port}");
}
