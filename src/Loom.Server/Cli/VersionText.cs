using Loom.Server.Etcd;
using Loom.Server.Hosting;

namespace Loom.Server.Cli;

internal static class VersionText
{
    public static void Write(TextWriter output)
    {
        output.WriteLine($"loom {NodeVersion.Text}");
        output.WriteLine($"etcd API {EtcdVersion.Server}");
        output.WriteLine($"{System.Runtime.InteropServices.RuntimeInformation.FrameworkDescription}, {System.Runtime.InteropServices.RuntimeInformation.RuntimeIdentifier}");
    }
}
