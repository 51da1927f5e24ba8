using Loom.Server.Configuration;
using Loom.Store;

namespace Loom.Server.Hosting;

/// <summary>Opens the store of a node with its settings.</summary>
internal static class StoreOpening
{
    public static Task<ILoomStore> OpenAsync(ServeSettings settings, ILoggerFactory loggers, CancellationToken cancellationToken) =>
        throw new LoomException(LoomErrorCode.CannotOpen, $"this build has no replica yet ({settings.Name})");
}
