namespace DistTrain.Collectives;

/// <summary>
/// How elements are cut into chunks: consecutive, as even as can be, the first ones longer by one unit where it does not come out even. With more chunks than
/// elements some are empty.
/// </summary>
public readonly record struct ChunkLayout
{
    /// <summary>Cuts <paramref name="elementCount"/> elements into <paramref name="chunkCount"/> chunks.</summary>
    /// <param name="elementCount">Elements in all.</param>
    /// <param name="chunkCount">At least one.</param>
    /// <param name="unit">Boundaries are multiples of this many elements (a cache line's, say); only the data's end need not be.</param>
    public ChunkLayout(long elementCount, int chunkCount, int unit = 1)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(elementCount);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(chunkCount);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(unit);
        (ElementCount, ChunkCount, Unit) = (elementCount, chunkCount, unit);
    }

    /// <summary>Elements in all.</summary>
    public long ElementCount { get; }

    /// <summary>Chunks.</summary>
    public int ChunkCount { get; }

    /// <summary>What boundaries are multiples of.</summary>
    public int Unit { get; }

    /// <summary>Where a chunk begins. The chunk behind the last one begins at the end.</summary>
    public long Offset(int chunk)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(chunk);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(chunk, ChunkCount);
        // Whole units, without the overflow of (ElementCount + Unit - 1).
        long units = (ElementCount / Unit) + (ElementCount % Unit == 0 ? 0 : 1);
        (long each, long longer) = Math.DivRem(units, ChunkCount);
        long at = (chunk * each) + Math.Min(chunk, longer);
        return at >= units ? ElementCount : at * Unit;
    }

    /// <summary>How many elements a chunk has.</summary>
    public long Length(int chunk) => Offset(chunk + 1) - Offset(chunk);
}
