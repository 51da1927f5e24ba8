using System.Globalization;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;
using System.Text;

namespace Loom.Server.Tests.Tls;

/// <summary>A TLS connection by hand that takes any certificate.</summary>
internal sealed class SecureConnection : IDisposable
{
    private readonly TcpClient client;
    private readonly SslStream stream;

    public SecureConnection(string endpoint)
    {
        string[] parts = endpoint.Split(':');
        client = new TcpClient(parts[0], int.Parse(parts[1], CultureInfo.InvariantCulture));
        stream = new SslStream(client.GetStream(), false, (_, certificate, _, _) => certificate is not null);
        stream.ReadTimeout = 10_000;
        stream.AuthenticateAsClient("127.0.0.1");
    }

    public string Subject => ((X509Certificate2)stream.RemoteCertificate!).Subject;

    public string Ask(string request)
    {
        stream.Write(Encoding.ASCII.GetBytes(request));
        byte[] answer = new byte[4096];
        return Encoding.ASCII.GetString(answer, 0, stream.Read(answer));
    }

    public void Dispose()
    {
        stream.Dispose();
        client.Dispose();
    }
}
