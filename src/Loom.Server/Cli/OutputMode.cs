namespace Loom.Server.Cli;

/// <summary>How a command writes its data: a table on a terminal, tab-separated lines elsewhere, or what <c>-o</c> asks for.</summary>
internal enum OutputMode
{
    Plain,
    Table,
    Json,

    /// <summary>JSON, one object a line: one per record.</summary>
    JsonLines,
}
