using System.Text;

namespace Loom.Bench.Micro;

/// <summary>Keys of 23 to 24 bytes that look like an application's, and a fixed random order of them.</summary>
internal static class BenchKeys
{
    public static byte[][] Make(int count)
    {
        byte[][] keys = new byte[count][];
        for (int i = 0; i < count; i++)
        {
            // A prime step scatters neighbours, as ids do.
            keys[i] = Encoding.UTF8.GetBytes($"jobs/cluster{i % 13:D2}/{(long)i * 7919 % count:D9}");
        }

        new Random(1).Shuffle(keys);
        return keys;
    }
}
