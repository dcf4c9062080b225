namespace DistTrain.Collectives;

/// <summary>A group of gradients that are reduced together.</summary>
/// <param name="First">The first gradient, by its number in reverse order of registration.</param>
/// <param name="Count">How many, consecutive in that order.</param>
/// <param name="ByteCount">Their bytes, padding included.</param>
public readonly record struct Bucket(int First, int Count, long ByteCount);

/// <summary>
/// Which gradients go together in one all-reduce: in reverse order of registration, about the order in which backward finishes them; the first bucket small, so that
/// communication begins early; no more bytes than a capacity, unless one gradient has more by itself (S. Li et al., "PyTorch Distributed", VLDB 2020, section 3.2.3).
/// Depends on sizes alone, so that all ranks make the same buckets.
/// </summary>
public static class BucketPlan
{
    /// <summary>Bytes of the first bucket where the caller does not say: 1 MiB.</summary>
    public const long DefaultFirstByteCount = 1 << 20;

    /// <summary>Bytes of the others where the caller does not say: 25 MiB.</summary>
    public const long DefaultByteCount = 25 << 20;

    /// <summary>Makes the buckets.</summary>
    /// <param name="byteCounts">Bytes of each gradient in order of registration.</param>
    /// <param name="capacity">Bytes of a bucket.</param>
    /// <param name="firstCapacity">Bytes of the first one.</param>
    /// <param name="alignment">Each gradient takes a multiple of this many bytes in its bucket.</param>
    /// <returns>Buckets in the order in which they are reduced; gradient i of a bucket is number <c>byteCounts.Count - 1 - (First + i)</c> of registration.</returns>
    public static IReadOnlyList<Bucket> Create(IReadOnlyList<long> byteCounts, long capacity = DefaultByteCount, long firstCapacity = DefaultFirstByteCount, int alignment = 64)
    {
        ArgumentNullException.ThrowIfNull(byteCounts);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(capacity);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(firstCapacity);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(alignment);
        List<Bucket> buckets = [];
        int first = 0;
        long bytes = 0;
        for (int i = 0; i < byteCounts.Count; i++)
        {
            long size = byteCounts[byteCounts.Count - 1 - i];
            ArgumentOutOfRangeException.ThrowIfNegative(size, nameof(byteCounts));
            long padded = checked(size + alignment - 1) / alignment * alignment;
            long limit = buckets.Count == 0 ? Math.Min(firstCapacity, capacity) : capacity;
            if (i > first && bytes + padded > limit)
            {
                buckets.Add(new Bucket(first, i - first, bytes));
                (first, bytes) = (i, 0);
            }
            bytes = checked(bytes + padded);
        }
        if (byteCounts.Count > first) buckets.Add(new Bucket(first, byteCounts.Count - first, bytes));
        return buckets;
    }
}
