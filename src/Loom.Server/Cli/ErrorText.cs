using System.Globalization;
using Loom.Store;

namespace Loom.Server.Cli;

/// <summary>Errors for people: one <c>error</c> line (code, cause, outcome), one <c>hint</c> line with the fix.</summary>
internal static class ErrorText
{
    public static void Write(TextWriter output, string problem, string? fix, string? code = null)
    {
        output.WriteLine(code is null ? $"error: {problem}" : $"error {code}: {problem}");
        if (!string.IsNullOrEmpty(fix))
        {
            output.WriteLine($"hint: {fix}");
        }
    }

    /// <summary>The store's messages hold code, cause, outcome and fix already.</summary>
    public static void Write(TextWriter output, LoomException exception)
    {
        string code = Code(exception.Code);
        bool own = exception.Message.StartsWith(code, StringComparison.Ordinal);
        Write(output, own ? exception.Message[code.Length..].TrimStart(':', ' ') : exception.Message, own ? null : ErrorCatalogue.Find(code)?.Fix, code);
    }

    public static string Code(LoomErrorCode code) => "LOOM" + ((int)code).ToString(CultureInfo.InvariantCulture);
}
