using Google.Protobuf;

namespace Loom.Server.Etcd;

/// <summary>
/// Calls under way on this node that wait with one claim: those of one name under one lease of the client's, as when it asks again after an answer was lost. The claim is taken back by the last of them,
/// if none of them has won and one of them put it there: whoever gives up alone must not take what another one waits for, or has.
/// </summary>
internal sealed class SharedClaims
{
    // One entry per claim with calls under way, which are bounded as calls are.
    private readonly Dictionary<ByteString, Sharers> claims = [];

    public void Join(ByteString key)
    {
        lock (claims)
        {
            if (!claims.TryGetValue(key, out Sharers? sharers))
            {
                claims.Add(key, sharers = new Sharers());
            }

            sharers.Calls++;
        }
    }

    /// <summary>One of the calls has put the claim there.</summary>
    public void Entered(ByteString key)
    {
        lock (claims)
        {
            claims[key].HasEntered = true;
        }
    }

    /// <summary>A call ends. True: the claim is to be taken back.</summary>
    public bool Leave(ByteString key, bool won)
    {
        lock (claims)
        {
            Sharers sharers = claims[key];
            sharers.HasWon |= won;
            if (--sharers.Calls > 0)
            {
                return false;
            }

            claims.Remove(key);
            return sharers.HasEntered && !sharers.HasWon;
        }
    }

    private sealed class Sharers
    {
        public int Calls { get; set; }

        public bool HasEntered { get; set; }

        public bool HasWon { get; set; }
    }
}
