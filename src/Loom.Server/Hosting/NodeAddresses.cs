namespace Loom.Server.Hosting;

/// <summary>
/// Where clients reach this member. Normally the configuration says it; a member that listens on port 0 (tests, embedding) learns its port only when it is bound,
/// after the configuration was written, so it tells its own bound addresses instead.
/// </summary>
internal sealed class NodeAddresses
{
    private volatile IReadOnlyList<string> bound = [];

    public IReadOnlyList<string> Bound
    {
        get => bound;
        set => bound = value;
    }

    public IReadOnlyList<string> Client(IReadOnlyList<string> advertised)
    {
        bool known = advertised.Count > 0 && advertised.All(url => !Uri.TryCreate(url, UriKind.Absolute, out Uri? uri) || uri.Port != 0);
        return known ? advertised : bound;
    }
}
