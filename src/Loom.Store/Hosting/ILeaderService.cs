using Loom.Store.Collections;

namespace Loom.Store.Hosting;

/// <summary>
/// Work that one process of the fleet does at a time (<see cref="LoomBuilder.AddLeaderService{T}"/>). For each term as a leader one is made, in a scope of its own, and disposed of afterwards if it can be.
/// </summary>
public interface ILeaderService
{
    /// <summary>
    /// Does the work until <paramref name="cancellationToken"/> is cancelled, because leadership is lost or the host stops: return then, soon. While it has not returned this process does not stand for election again.
    /// Write through <see cref="LoomHold.Store"/>: what a former leader that does not know it yet writes is refused then. To throw ends the term, and so does to return; another process leads next, and this one
    /// stands again after a pause that grows while it keeps failing.
    /// </summary>
    /// <param name="lead">The leadership, its fencing token with it.</param>
    /// <param name="cancellationToken">Cancelled when the work must end.</param>
    Task RunAsync(LoomHold lead, CancellationToken cancellationToken);
}
