using System.Globalization;
using Spectre.Console;

namespace Loom.Server.Demo;

/// <summary>The live picture on a terminal: a card per datacenter, the totals, the last events and the keys.</summary>
internal sealed class LiveView(LiveDisplayContext context) : IDemoView
{
    private const int EventsShown = 6;
    private readonly Queue<string> events = new();

    public void Event(string text)
    {
        lock (events)
        {
            events.Enqueue(text);
            while (events.Count > EventsShown)
            {
                events.Dequeue();
            }
        }
    }

    // Of fixed width, so that the picture stands still; three cards side by side fit into 150 columns.
    private static readonly (string Heading, int Width)[] Columns = [("", 6), ("role", 9), ("term", 4), ("commit", 6), ("applied", 7), ("lag", 3), ("rtt", 4)];

    public void Show(DemoPicture picture)
    {
        Grid cards = new();
        foreach (string _ in DemoCluster.Datacenters)
        {
            cards.AddColumn(new GridColumn().NoWrap());
        }

        cards.AddRow([.. DemoCluster.Datacenters.Select((d, i) => Card(picture, d, i + 1))]);
        context.UpdateTarget(new Rows(cards, Totals(picture), Events(), Keys(picture)));
        context.Refresh();
    }

    private static Panel Card(DemoPicture picture, string datacenter, int key)
    {
        NodePicture[] nodes = [.. picture.Nodes.Where(n => n.Datacenter == datacenter)];
        bool up = nodes.All(n => n.IsRunning);
        Table table = new() { Border = TableBorder.None, ShowHeaders = true };
        foreach ((string heading, int width) in Columns)
        {
            table.AddColumn(new TableColumn(new Markup("[grey]" + heading + "[/]")) { Width = width, Padding = new Padding(0, 0, 1, 0) }.NoWrap());
        }

        foreach (NodePicture node in nodes)
        {
            table.AddRow(Row(picture, node));
        }

        string application = picture.Applications.TryGetValue(datacenter, out string? at) ? at : "";
        table.Caption = new TableTitle($"application talks to {application}");
        return new Panel(table)
        {
            Header = new PanelHeader($" {key} {datacenter} {(up ? "" : "DOWN ")}"),
            BorderStyle = new Style(up ? Color.Green : Color.Red),
        };
    }

    private static Markup[] Row(DemoPicture picture, NodePicture node)
    {
        if (node.Status is not { } status)
        {
            return [new(node.Name), new(node.IsRunning ? "[yellow]starting[/]" : "[red]dead[/]"), new(""), new(""), new(""), new(""), new("")];
        }

        double rtt = status.Members.Where(m => m.Id != status.MemberId && m.RttMilliseconds > 0).Select(m => m.RttMilliseconds).DefaultIfEmpty(0).Min();
        string role = status.Role == "leader" ? "[bold green]leader[/]" : Markup.Escape(status.Role);
        return
        [
            new(node.Name), new(role), new(Number(status.Term)), new(Number(status.CommitIndex)), new(Number(status.AppliedIndex)),
            new(Number(Math.Max(0, picture.MaxApplied - status.AppliedIndex))), new(rtt.ToString("0.0", CultureInfo.InvariantCulture)),
        ];
    }

    private static Markup Totals(DemoPicture picture) => new(string.Create(CultureInfo.InvariantCulture,
        $"{picture.Elapsed.TotalSeconds,5:0.0} s  [bold]{Markup.Escape(picture.Phase)}[/]{(picture.Paused ? "  [yellow]paused[/]" : "")}\nwrites [bold]{picture.WritesPerSecond:0}/s[/]  local reads [bold]{picture.ReadsPerSecond:0}/s[/]  acknowledged [bold]{picture.Acknowledged}[/]  longest pause [bold]{picture.LongestPauseMilliseconds:0} ms[/]  lost writes [bold]{picture.Lost?.ToString(CultureInfo.InvariantCulture) ?? "(audit at the end)"}[/]"));

    private Markup Events()
    {
        lock (events)
        {
            return new Markup("[grey]" + Markup.Escape(string.Join('\n', events)) + "[/]");
        }
    }

    private static Markup Keys(DemoPicture picture) => new($"keys: [bold]1 2 3[/] kill or revive a datacenter  [bold]p[/] {(picture.Paused ? "go on" : "pause")}  [bold]q[/] quit");

    private static string Number(long value) => value.ToString(CultureInfo.InvariantCulture);
}
