using System.Text;

namespace Loom.Store.Passwords;

/// <summary>
/// Passwords and their hashes (bcrypt, as etcd's: hashes of either are the other's). Each takes tens of milliseconds of a core on purpose, so it happens outside of the log and off the applier's thread, for no more
/// than half of the cores at a time: a flood of logins must not take the member down. More than so many that wait are refused.
/// </summary>
/// <param name="cost">Each more doubles the time.</param>
#pragma warning disable CA1001 // The semaphore makes no handle, so there is nothing to free; calls may be in it when the store closes.
internal sealed class PasswordHashes(int cost)
#pragma warning restore CA1001
{
    /// <summary>bcrypt looks at no more; a longer one would be cut without a word.</summary>
    public const int MaxPasswordBytes = 72;

    private const int MaxWaiting = 256;

    private readonly SemaphoreSlim places = new(Math.Max(1, Environment.ProcessorCount / 2));
    private readonly Lazy<string> decoy = new(() => BCrypt.Net.BCrypt.HashPassword("nobody's", cost));
    private int waiting;

    public async ValueTask<byte[]> HashAsync(string password, CancellationToken cancellationToken)
    {
        if (Encoding.UTF8.GetByteCount(password) > MaxPasswordBytes)
        {
            throw Faults.LongPassword(MaxPasswordBytes);
        }

        return await RunAsync(() => Encoding.ASCII.GetBytes(BCrypt.Net.BCrypt.HashPassword(password, cost)), cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Whether the password is the one of the hash. Without a hash the answer is no, and takes as long: who asks does not learn which users there are.</summary>
    public ValueTask<bool> VerifyAsync(string password, ReadOnlyMemory<byte> hash, CancellationToken cancellationToken) => RunAsync(
        () =>
        {
            // What is longer is no user's: nothing that long was ever hashed.
            bool isKnown = !hash.IsEmpty && Encoding.UTF8.GetByteCount(password) <= MaxPasswordBytes;
            try
            {
                return BCrypt.Net.BCrypt.Verify(password, isKnown ? Encoding.ASCII.GetString(hash.Span) : decoy.Value) && isKnown;
            }
            catch (BCrypt.Net.SaltParseException)
            {
                // Not bcrypt's: no password opens it.
                return false;
            }
        },
        cancellationToken);

    private async ValueTask<T> RunAsync<T>(Func<T> work, CancellationToken cancellationToken)
    {
        if (Interlocked.Increment(ref waiting) > MaxWaiting)
        {
            Interlocked.Decrement(ref waiting);
            throw Faults.TooManyPasswords(MaxWaiting);
        }

        try
        {
            await places.WaitAsync(cancellationToken).ConfigureAwait(false);
            try
            {
                return await Task.Run(work, CancellationToken.None).ConfigureAwait(false);
            }
            finally
            {
                places.Release();
            }
        }
        finally
        {
            Interlocked.Decrement(ref waiting);
        }
    }
}
