using Loom.Raft.Log;

namespace Loom.Store.Records;

/// <summary>
/// Tells what keeps a file from being read <i>now</i> (a limit, a permission, memory, a full disk) from damage. Only damage may make a member give its state up: of anything else the bytes may be whole,
/// and the same obstacle may stand on every member at once.
/// </summary>
internal static class OpenObstacle
{
    // EIO, ENODATA, EBADMSG, EILSEQ, EUCLEAN, EREMOTEIO: the disk or the file system says that the bytes are gone or wrong.
    private static readonly int[] Damage = [5, 61, 74, 84, 117, 121];

    /// <summary>The obstacle behind a failure, or null: it is damage, or no matter of the system. A file that is not there is damage.</summary>
    public static Exception? Of(Exception failure)
    {
        for (Exception? e = failure; e is not null; e = e.InnerException)
        {
            // What .NET throws for an error of the system that it has no class for carries its number; its own classes have negative ones.
            if (e is UnauthorizedAccessException or OutOfMemoryException or NoSpaceException || (e is IOException { HResult: > 0 } && !Damage.Contains(e.HResult)))
            {
                return e;
            }
        }

        return null;
    }
}
