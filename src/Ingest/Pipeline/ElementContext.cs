namespace DistTrain.Ingest;

/// <summary>What a function given to an operator may know of the element it works on.</summary>
/// <param name="Epoch">
/// Which pass over the data, from 0: how often the nearest <c>Repeat</c> has begun anew, whether it comes before or after the operator. The epoch in which the element was made, where
/// elements of several epochs mix.
/// </param>
/// <param name="Index">
/// Which element, from 0: its place in the source where every operator between keeps elements apart (<c>Map</c>, <c>Filter</c>, <c>Shuffle</c>, <c>GlobalShuffle</c>,
/// <c>Shard</c>, <c>Skip</c>, <c>Take</c>, <c>Repeat</c>), else its place in the output of the last operator that makes new elements (<c>Batch</c>, <c>Interleave</c>, ...).
/// The same for any number of threads and, for data with index access, any number of ranks. Inside a dataset that <c>Interleave</c> opens it counts from that dataset's beginning.
/// </param>
/// <param name="Cancellation">Set when the pipeline is cancelled or disposed: long work should look at it.</param>
public readonly record struct ElementContext(long Epoch, long Index, CancellationToken Cancellation)
{
    // An index may bring its epoch with it.

    /// <summary>Which pass over the data, from 0.</summary>
    public long Epoch { get; init; } = EpochIndex.EpochOf(Epoch, Index);

    /// <summary>Which element, from 0.</summary>
    public long Index { get; init; } = EpochIndex.IndexOf(Index);

    /// <summary>The element's random numbers under <paramref name="seed"/>.</summary>
    public ElementRandom Random(ulong seed) => new(seed, Epoch, Index);
}
