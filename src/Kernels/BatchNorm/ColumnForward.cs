namespace DistTrain.Kernels;

/// <summary>Forward batch norm of [N, C]: an item is 16 columns, a vector of them at a time, a channel per lane.</summary>
internal unsafe struct ColumnForward : ISimdKernel
{
    /// <summary>Columns of an item: one vector of the widest instruction set, a cache line of each row.</summary>
    public const int ColumnCount = 16;

    public ChannelNormalise Whole;

    public readonly void Run<V>(int item) where V : unmanaged, ISimd<V>
    {
        int end = Math.Min(Whole.Layout.Channels, (item + 1) * ColumnCount);
        for (int column = item * ColumnCount; column < end; column += V.Count) Columns<V>(column, Math.Min(V.Count, end - column));
    }

    private readonly void Columns<V>(int column, int count) where V : unmanaged, ISimd<V>
    {
        V center, rest = V.Zero, inverse;
        if (Whole.Phase == ChannelPhase.Statistics)
        {
            StoreMoments<V>(column, count);
            return;
        }
        if (Whole.Phase == ChannelPhase.Inference)
        {
            center = V.LoadPartial(Whole.Mean + column, count, 0f);
            inverse = V.Broadcast(1f) / V.Sqrt(V.LoadPartial(Whole.Spread + column, count, 1f) + V.Broadcast(Whole.Epsilon));
        }
        else if (Whole.Phase == ChannelPhase.Given)
        {
            center = V.LoadPartial(Whole.Mean + column, count, 0f);
            rest = V.LoadPartial(Whole.Rest + column, count, 0f);
            inverse = V.LoadPartial(Whole.Spread + column, count, 0f);
        }
        else
        {
            Statistics(column, count, out center, out rest, out V variance);
            inverse = V.Broadcast(1f) / V.Sqrt(variance + V.Broadcast(Whole.Epsilon));
            V.StorePartial(center + rest, Whole.Mean + column, count);
            V.StorePartial(inverse, Whole.Spread + column, count);
        }
        V factor = inverse * V.LoadPartial(Whole.Scale + column, count, 0f);
        V addend = V.LoadPartial(Whole.Shift + column, count, 0f) - (rest * factor);
        int channels = Whole.Layout.Channels;
        for (int row = 0; row < Whole.Layout.Images; row++)
        {
            long at = ((long)row * channels) + column;
            ColumnVector.Store(V.MultiplyAdd(ColumnVector.Load<V>(Whole.Input + at, count) - center, factor, addend), Whole.Output + at, count);
        }
    }

    /// <summary>Two passes, the second also corrects the first one's mean. Blocks of 64 rows are summed apart, which keeps rounding small.</summary>
    private readonly void Statistics<V>(int column, int count, out V center, out V rest, out V variance) where V : unmanaged, ISimd<V>
    {
        V divisor = V.Broadcast(Math.Max(1, Whole.Layout.Images)), sum = V.Zero, squares = V.Zero;
        for (int block = 0; block < Whole.Layout.Images; block += 64) sum += BlockSums(column, count, block, V.Zero).Sum;
        center = sum / divisor;
        sum = V.Zero;
        for (int block = 0; block < Whole.Layout.Images; block += 64)
        {
            (V deviations, V squared) = BlockSums(column, count, block, center);
            sum += deviations;
            squares += squared;
        }
        rest = sum / divisor;
        variance = V.Abs((squares / divisor) - (rest * rest));
    }

    private readonly void StoreMoments<V>(int column, int count) where V : unmanaged, ISimd<V>
    {
        Statistics(column, count, out V center, out V rest, out V variance);
        V images = V.Broadcast(Whole.Layout.Images);
        float* row = Whole.Statistics + column;
        V.StorePartial(images, row, count);
        V.StorePartial(center, row + Whole.Layout.Channels, count);
        V.StorePartial(rest, row + (2 * Whole.Layout.Channels), count);
        V.StorePartial(variance * images, row + (3 * Whole.Layout.Channels), count);
    }

    private readonly (V Sum, V Squares) BlockSums<V>(int column, int count, int start, V center) where V : unmanaged, ISimd<V>
    {
        V sum = V.Zero, squares = V.Zero;
        float* x = Whole.Input + ((long)start * Whole.Layout.Channels) + column;
        int rows = Math.Min(64, Whole.Layout.Images - start);
        for (int row = 0; row < rows; row++, x += Whole.Layout.Channels)
        {
            V deviation = ColumnVector.Load<V>(x, count) - center;
            sum += deviation;
            squares = V.MultiplyAdd(deviation, deviation, squares);
        }
        return (sum, squares);
    }
}
