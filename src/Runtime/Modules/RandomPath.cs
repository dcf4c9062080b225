namespace DistTrain.Runtime;

/// <summary>Names of modules as keys of random streams.</summary>
public static class RandomPath
{
    private const uint OffsetBasis = 2166136261, Prime = 16777619;

    /// <summary>The 32-bit FNV-1a hash of the name's UTF-16 code units, low byte first (Fowler, Noll, Vo; RFC 9923).</summary>
    public static uint Of(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        uint hash = OffsetBasis;
        foreach (char unit in name)
        {
            hash = (hash ^ (byte)unit) * Prime;
            hash = (hash ^ (byte)(unit >> 8)) * Prime;
        }
        return hash;
    }
}
