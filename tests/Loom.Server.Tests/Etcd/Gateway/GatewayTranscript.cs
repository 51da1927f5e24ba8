using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;

namespace Loom.Server.Tests.Etcd.Gateway;

/// <summary>Sends requests to a gateway and writes down status, type, how long the body was known to be, and its bytes, with what may differ between two new, empty stores masked.</summary>
internal static partial class GatewayTranscript
{
    public static async Task<string> RecordAsync(string endpoint, IEnumerable<GatewayRequest> script)
    {
        using var http = new HttpClient(new SocketsHttpHandler { UseProxy = false }) { BaseAddress = new Uri("http://" + endpoint), Timeout = TimeSpan.FromSeconds(20) };
        var text = new StringBuilder();
        foreach (GatewayRequest request in script)
        {
            text.Append("## ").Append(request.Title).Append('\n').Append(request.Method).Append(' ').Append(request.Path).Append(' ').Append(request.Body?.ReplaceLineEndings("\\n")).Append('\n');
            text.Append(await AnswerAsync(http, request)).Append("\n\n");
        }

        return text.ToString();
    }

    private static async Task<string> AnswerAsync(HttpClient http, GatewayRequest request)
    {
        using var message = new HttpRequestMessage(new HttpMethod(request.Method), request.Path);
        if (request.Body is not null)
        {
            // curl -d says "a form"; etcd does not look.
            message.Content = new StringContent(request.Body, Encoding.UTF8, "application/x-www-form-urlencoded");
        }

        if (request.Header is not null)
        {
            string[] parts = request.Header.Split(": ");
            message.Headers.TryAddWithoutValidation(parts[0], parts[1]);
        }

        using HttpResponseMessage response = await http.SendAsync(message, HttpCompletionOption.ResponseHeadersRead);
        string how = response.Headers.TransferEncodingChunked == true && response.IsSuccessStatusCode ? " chunked" : "";
        string origin = response.Headers.TryGetValues("Access-Control-Allow-Origin", out IEnumerable<string>? origins) ? string.Join(',', origins) : "";
        string body = request.Lines == 0 ? await response.Content.ReadAsStringAsync() : await LinesAsync(response, request.Lines);
        return string.Create(CultureInfo.InvariantCulture, $"{(int)response.StatusCode} {response.Content.Headers.ContentType}{how} origin={origin}\n{Mask(body).TrimEnd()}");
    }

    private static async Task<string> LinesAsync(HttpResponseMessage response, int count)
    {
        using var reader = new StreamReader(await response.Content.ReadAsStreamAsync());
        var lines = new StringBuilder();
        for (int i = 0; i < count; i++)
        {
            lines.Append(await reader.ReadLineAsync().WaitAsync(TimeSpan.FromSeconds(10))).Append('\n');
        }

        return lines.ToString();
    }

    private static string Mask(string body) => Token().Replace(Members().Replace(Remaining().Replace(Ids().Replace(body, "\"$1\":*"), "$1\"TTL\":*$2"), "\"members\":*"), "\"token\":*");

    [GeneratedRegex("\"(cluster_id|member_id|raft_term)\":\"[1-9][0-9]*\"")]
    private static partial Regex Ids();

    [GeneratedRegex("\"token\":\"[A-Za-z]{16}\\.[0-9]+\"")]
    private static partial Regex Token();

    // What is left when it is asked, beside what was granted.
    [GeneratedRegex("(\"ID\":\"77\",)\"TTL\":\"[1-9][0-9]*\"(,\"grantedTTL\")")]
    private static partial Regex Remaining();

    [GeneratedRegex("\"members\":\\[\\{\"ID\":\"[0-9]+\",\"name\":\"default\".*\"clientURLs\":\\[\"http://[^]]*\"\\]\\}\\]")]
    private static partial Regex Members();
}
