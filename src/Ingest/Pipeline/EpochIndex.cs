namespace DistTrain.Ingest;

/// <summary>
/// An element's index together with the epoch it was made in, in one number, for streams in which elements of several epochs follow each other: behind <c>Repeat</c>. In epoch 0 it
/// is the index itself. Otherwise it is negative, the epoch above the index; -1 is no index at all.
/// </summary>
internal static class EpochIndex
{
    private const int IndexBits = 40, EpochBits = 22;
    private const long IndexMask = (1L << IndexBits) - 1, EpochMask = (1L << EpochBits) - 1;

    /// <summary>The index of an element of an epoch; one that has an epoch already keeps it.</summary>
    internal static long Of(long epoch, long index) =>
        epoch == 0 || index < 0 || index > IndexMask ? index : long.MinValue | ((epoch & EpochMask) << IndexBits) | index;

    internal static bool HasEpoch(long index) => index < -1;

    /// <summary>The element's epoch, <paramref name="own"/> if the index tells none.</summary>
    internal static long EpochOf(long own, long index) => HasEpoch(index) ? (index >> IndexBits) & EpochMask : own;

    /// <summary>The index alone.</summary>
    internal static long IndexOf(long index) => HasEpoch(index) ? index & IndexMask : index;
}
