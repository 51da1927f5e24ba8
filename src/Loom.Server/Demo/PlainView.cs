using System.Globalization;

namespace Loom.Server.Demo;

/// <summary>Plain lines for pipes and logs: each event, and a line of figures every two seconds.</summary>
internal sealed class PlainView(TextWriter writer) : IDemoView
{
    private TimeSpan nextLine;

    public void Event(string text) => writer.WriteLine(text);

    public void Show(DemoPicture picture)
    {
        if (picture.Elapsed < nextLine)
        {
            return;
        }

        nextLine = picture.Elapsed + TimeSpan.FromSeconds(2);
        NodePicture? leader = picture.Nodes.FirstOrDefault(n => n.Status?.Role == "leader");
        string down = string.Join(' ', picture.Nodes.Where(n => !n.IsRunning).Select(n => n.Datacenter).Distinct());
        writer.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"{picture.Elapsed.TotalSeconds,5:0.0} s  leader {leader?.Name ?? "none"}  term {leader?.Status?.Term ?? 0}  writes {picture.WritesPerSecond:0}/s ({picture.Acknowledged} acknowledged)  local reads {picture.ReadsPerSecond:0}/s  longest pause {picture.LongestPauseMilliseconds:0} ms{(down.Length > 0 ? $"  down: {down}" : "")}"));
    }
}
