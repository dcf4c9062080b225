namespace DistTrain.Runtime;

/// <summary>Lists of dimensions for reductions, without allocating.</summary>
internal static class Dimensions
{
    private static ReadOnlySpan<int> All => [0, 1, 2, 3, 4, 5, 6, 7];

    /// <summary>The first <paramref name="count"/> dimensions: 0, 1, ...</summary>
    public static ReadOnlySpan<int> Leading(int count) => All[..count];
}
