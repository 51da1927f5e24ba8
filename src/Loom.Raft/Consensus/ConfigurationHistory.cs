using Loom.Raft.Membership;
using Loom.Raft.Quorums;

namespace Loom.Raft.Consensus;

/// <summary>
/// The configurations of the log, back to the one in force at its base, ascending by index. The last is in force from its append on, committed or not,
/// and cutting the log brings back an earlier one (E4).
/// </summary>
internal sealed class ConfigurationHistory
{
    private readonly List<ConfigurationAt> all;

    public ConfigurationHistory(IReadOnlyList<ConfigurationAt> configurations)
    {
        if (configurations.Count == 0)
        {
            throw new ArgumentException("a member without a configuration cannot take part", nameof(configurations));
        }

        all = [.. configurations];
        Quorum = new CommitQuorum(all[^1].Configuration);
    }

    public IReadOnlyList<ConfigurationAt> All => all;

    /// <summary>Index of the configuration in force.</summary>
    public long Index => all[^1].Index;

    /// <summary>Arithmetic of the configuration in force.</summary>
    public CommitQuorum Quorum { get; private set; }

    public void Append(long index, Configuration configuration)
    {
        if (index <= Index)
        {
            throw new InvalidOperationException($"configuration at {index} follows one at {Index}");
        }

        all.Add(new ConfigurationAt(index, configuration));
        Quorum = new CommitQuorum(configuration);
    }

    /// <summary>Entries up to here leave the log: what is kept begins with the configuration in force there.</summary>
    public void DropBelow(long index)
    {
        while (all.Count > 1 && all[1].Index <= index)
        {
            all.RemoveAt(0);
        }
    }

    /// <summary>The log begins anew at a snapshot with this configuration in force (S3).</summary>
    public void Restart(ConfigurationAt configuration)
    {
        all.Clear();
        all.Add(configuration);
        Quorum = new CommitQuorum(configuration.Configuration);
    }

    /// <summary>The log is cut from this index on.</summary>
    public void CutFrom(long index)
    {
#if LOOM_MUTATIONS
        if (Diagnostics.Mutations.On("E4-no-rollback"))
        {
            // Only what a later append would contradict goes, so that the history stays ascending.
            while (all.Count > 1 && all[^1].Index > index)
            {
                all.RemoveAt(all.Count - 1);
            }

            return;
        }
#endif
        if (all.Count > 1 && all[^1].Index >= index)
        {
            do
            {
                all.RemoveAt(all.Count - 1);
            }
            while (all.Count > 1 && all[^1].Index >= index);
            Quorum = new CommitQuorum(all[^1].Configuration);
        }
    }
}
