namespace Loom.Server.Configuration;

/// <summary>"Did you mean": the nearest of the known words, if one is near enough.</summary>
internal static class Spelling
{
    public static string? Nearest(string word, IEnumerable<string> known)
    {
        (string? best, int distance) = (null, int.MaxValue);
        foreach (string candidate in known)
        {
            int d = Distance(word, candidate);
            if (d < distance)
            {
                (best, distance) = (candidate, d);
            }
        }

        return distance <= Math.Max(2, word.Length / 3) ? best : null;
    }

    /// <summary>Edits between two words; a swap of neighbours is one.</summary>
    private static int Distance(string a, string b)
    {
        int[,] d = new int[a.Length + 1, b.Length + 1];
        for (int i = 0; i <= a.Length; i++)
        {
            for (int j = 0; j <= b.Length; j++)
            {
                if (i == 0 || j == 0)
                {
                    d[i, j] = i + j;
                    continue;
                }

                int cost = a[i - 1] == b[j - 1] ? 0 : 1;
                d[i, j] = Math.Min(Math.Min(d[i - 1, j] + 1, d[i, j - 1] + 1), d[i - 1, j - 1] + cost);
                if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                {
                    d[i, j] = Math.Min(d[i, j], d[i - 2, j - 2] + 1);
                }
            }
        }

        return d[a.Length, b.Length];
    }
}
