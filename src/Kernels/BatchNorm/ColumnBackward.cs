namespace DistTrain.Kernels;

/// <summary>Backward batch norm of [N, C]: an item is 16 columns, a vector of them at a time, a channel per lane.</summary>
internal unsafe struct ColumnBackward : ISimdKernel
{
    public ChannelGradient Whole;

    public readonly void Run<V>(int item) where V : unmanaged, ISimd<V>
    {
        int end = Math.Min(Whole.Layout.Channels, (item + 1) * ColumnForward.ColumnCount);
        for (int column = item * ColumnForward.ColumnCount; column < end; column += V.Count) Columns<V>(column, Math.Min(V.Count, end - column));
    }

    private readonly void Columns<V>(int column, int count) where V : unmanaged, ISimd<V>
    {
        V center = V.LoadPartial(Whole.Mean + column, count, 0f), inverse = V.LoadPartial(Whole.InverseStd + column, count, 0f);
        V sum, product, images = V.Broadcast(Math.Max(1, Whole.Layout.Images));
        if (Whole.Phase == ChannelPhase.Given)
        {
            sum = V.LoadPartial(Whole.DShift + column, count, 0f);
            product = V.LoadPartial(Whole.DScale + column, count, 0f);
            images = V.LoadPartial(Whole.Counts + column, count, 1f);
        }
        else
        {
            (sum, product) = Sums(column, count, center);
            product *= inverse;
            Store(Whole.DShift + column, sum, count);
            Store(Whole.DScale + column, product, count);
            if (Whole.Phase == ChannelPhase.Statistics) return;
        }
        V factor = inverse * V.LoadPartial(Whole.Scale + column, count, 0f);
        V meanGradient = sum / images, slope = -(product / images) * inverse;
        for (int row = 0; row < Whole.Layout.Images; row++)
        {
            long at = ((long)row * Whole.Layout.Channels) + column;
            V gradient = ColumnVector.Load<V>(Whole.DOutput + at, count) - meanGradient;
            ColumnVector.Store(factor * V.MultiplyAdd(ColumnVector.Load<V>(Whole.Input + at, count) - center, slope, gradient), Whole.DInput + at, count);
        }
    }

    private readonly (V Sum, V Product) Sums<V>(int column, int count, V center) where V : unmanaged, ISimd<V>
    {
        V sum = V.Zero, product = V.Zero;
        for (int block = 0; block < Whole.Layout.Images; block += 64)
        {
            (V blockSum, V blockProduct) = BlockSums(column, count, block, center);
            sum += blockSum;
            product += blockProduct;
        }
        return (sum, product);
    }

    private readonly void Store<V>(float* total, V sum, int count) where V : unmanaged, ISimd<V> =>
        V.StorePartial(Whole.Accumulate ? V.LoadPartial(total, count, 0f) + sum : sum, total, count);

    private readonly (V Sum, V Product) BlockSums<V>(int column, int count, int start, V center) where V : unmanaged, ISimd<V>
    {
        V sum = V.Zero, product = V.Zero;
        int end = Math.Min(Whole.Layout.Images, start + 64);
        for (int row = start; row < end; row++)
        {
            long at = ((long)row * Whole.Layout.Channels) + column;
            V gradient = ColumnVector.Load<V>(Whole.DOutput + at, count);
            sum += gradient;
            product = V.MultiplyAdd(gradient, ColumnVector.Load<V>(Whole.Input + at, count) - center, product);
        }
        return (sum, product);
    }
}
