namespace DistTrain.Kernels;

/// <summary>
/// Scratch rows for the items of a parallel job: as many places as threads, claimed and given back by each item, so that scratch stays in the
/// caches and its size does not grow with the batch. What an item computes does not depend on its place.
/// </summary>
internal readonly unsafe struct RowScratch(Tensor scratch, int placeCount, int rowCount, int columns)
{
    private const int FlagStride = 16; // a cache line each
    private readonly int* _taken = (int*)scratch.Pointer;
    private readonly float* _rows = (float*)scratch.Pointer + (FlagStride * placeCount);
    private readonly long _placeStride = (long)rowCount * Padded(columns);
    private readonly int _placeCount = placeCount;

    /// <summary>Memory for this many rows in each of <paramref name="placeCount"/> places; the caller disposes it.</summary>
    public static Tensor Allocate(ExecutionStream stream, int placeCount, int rowCount, int columns)
    {
        Tensor scratch = Tensor.Allocate(stream, new Shape(placeCount, checked((rowCount * Padded(columns)) + FlagStride)));
        for (int place = 0; place < placeCount; place++) ((int*)scratch.Pointer)[place * FlagStride] = 0;
        return scratch;
    }

    /// <summary>From one row of a place to the next.</summary>
    public static int Padded(int columns) => checked(columns + 15) & ~15;

    /// <summary>A free place's rows. There is always one: no more items run at once than there are threads.</summary>
    public float* Claim(out int place)
    {
        for (place = 0; ; place = (place + 1) % _placeCount)
            if (Interlocked.Exchange(ref _taken[place * FlagStride], 1) == 0) return _rows + (place * _placeStride);
    }

    public void Release(int place) => Volatile.Write(ref _taken[place * FlagStride], 0);
}
