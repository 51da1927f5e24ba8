namespace Loom.Raft.Log;

/// <summary>Terms of all entries, run-length coded: (first index, term), ascending in both. The first run begins at the base index and holds its term.</summary>
internal sealed class TermRuns
{
    private readonly List<(long First, long Term)> runs = [];

    public TermRuns(long baseIndex, long baseTerm) => runs.Add((baseIndex, baseTerm));

    public long TermAt(long index) => runs[RunOf(index)].Term;

    public void Append(long index, long term)
    {
        if (runs[^1].Term != term)
            runs.Add((index, term));
    }

    /// <summary>Forgets the terms from <paramref name="index"/> on.</summary>
    public void CutFrom(long index)
    {
        while (runs.Count > 1 && runs[^1].First >= index)
            runs.RemoveAt(runs.Count - 1);
    }

    /// <summary>The log begins anew at a snapshot.</summary>
    public void RestartAt(long index, long term)
    {
        runs.Clear();
        runs.Add((index, term));
    }

    public void MoveBase(long index, long term)
    {
        int run = RunOf(index);
        runs.RemoveRange(0, run);
        runs[0] = (index, term);
    }

    private int RunOf(long index)
    {
        int low = 0, high = runs.Count;
        while (low < high)
        {
            int middle = (low + high) / 2;
            if (runs[middle].First <= index)
                low = middle + 1;
            else
                high = middle;
        }

        return low - 1;
    }
}
