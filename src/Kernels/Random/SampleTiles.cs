namespace DistTrain.Kernels;

/// <summary>
/// How a tensor of samples is cut into items for the team: pieces of long samples, several short ones. Pieces begin at multiples of four
/// elements, where blocks of random words begin.
/// </summary>
internal struct SampleTiles
{
    private const int TileElementCount = 16_384;

    public long SampleCount, SampleLength;
    private long _tilesOfSample, _samplesOfTile;

    public SampleTiles(Shape shape)
    {
        SampleCount = shape.DimensionCount == 0 ? 1 : shape[0];
        SampleLength = shape.DimensionCount == 0 ? 1 : shape.ElementCountOf(1, shape.DimensionCount);
        _tilesOfSample = Math.Max(1, (SampleLength + TileElementCount - 1) / TileElementCount);
        _samplesOfTile = _tilesOfSample > 1 ? 1 : Math.Max(1, TileElementCount / Math.Max(4, SampleLength));
        ItemCount = checked((int)(_tilesOfSample > 1 ? SampleCount * _tilesOfSample : (SampleCount + _samplesOfTile - 1) / _samplesOfTile));
    }

    public int ItemCount { get; }

    /// <summary>An item's samples and, of each, its elements.</summary>
    public readonly (long FirstSample, long LastSample, long First, long Last) Of(int item)
    {
        if (_tilesOfSample == 1)
        {
            long sample = item * _samplesOfTile;
            return (sample, Math.Min(SampleCount, sample + _samplesOfTile), 0, SampleLength);
        }
        long first = item % _tilesOfSample * TileElementCount;
        return (item / _tilesOfSample, (item / _tilesOfSample) + 1, first, Math.Min(SampleLength, first + TileElementCount));
    }
}
