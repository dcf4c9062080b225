namespace DistTrain.Ingest;

/// <summary>What has been done to the order of elements that are read by number: what decides whether a saved position can be gone on from with other ranks or data.</summary>
/// <param name="WorldSize">Ranks that the elements are divided among; 1 if they are not.</param>
/// <param name="IsEven">Whether every rank has as many.</param>
/// <param name="IsGlobal">Whether <see cref="IndexedReader{T}.ToGlobal"/> tells how far all ranks together are; not if each rank shuffles or cuts its own part.</param>
/// <param name="ShuffledCount">Elements that a global shuffle was drawn over; 0: none was. Another number means another order.</param>
public readonly record struct IndexLayout(int WorldSize, bool IsEven, bool IsGlobal, long ShuffledCount)
{
    /// <summary>All elements, as they lie.</summary>
    public static IndexLayout Plain => new(1, true, true, 0);

    /// <summary>The same behind an operator that changes each rank's part by itself.</summary>
    public IndexLayout Local => this with { IsGlobal = IsGlobal && WorldSize == 1 };

    /// <summary>The two together, side by side or one behind the other.</summary>
    internal IndexLayout With(IndexLayout other) => this == other ? this
        : new(Math.Max(WorldSize, other.WorldSize), IsEven && other.IsEven, IsGlobal && other.IsGlobal && WorldSize == other.WorldSize, Math.Max(ShuffledCount, other.ShuffledCount));
}
