namespace DistTrain.Kernels;

/// <summary>Backward batch norm where each channel has runs of positions. An item is a channel, or a (channel, block of images).</summary>
internal unsafe struct ChannelGradient : ISimdKernel
{
    public ChannelLayout Layout;
    public ChannelPhase Phase;
    public float* DInput;
    public float* DScale;
    public float* DShift;
    public float* DOutput;
    public float* Input;
    public float* Mean;
    public float* InverseStd;
    public float* Scale;
    public float* Counts; // elements of each channel in the whole batch, where this is a part of one
    public float* Partials;
    public bool Accumulate;
    public int ImagesPerBlock;

    public readonly int BlockCount => (Layout.Images + ImagesPerBlock - 1) / ImagesPerBlock;

    public readonly void Run<V>(int item) where V : unmanaged, ISimd<V>
    {
        if (Phase == ChannelPhase.Whole)
        {
            (float sum, float product) = Sums<V>(item, 0, Layout.Images);
            StoreWeightGradients(item, sum, product);
            Apply<V>(item, 0, Layout.Images, sum, product);
            return;
        }
        if (Phase is ChannelPhase.Statistics or ChannelPhase.MergeStatistics)
        {
            (float sum, float product) = Phase == ChannelPhase.Statistics ? Sums<V>(item, 0, Layout.Images) : MergedSums(item);
            StoreWeightGradients(item, sum, product);
            return;
        }
        int channel = item / BlockCount, start = item % BlockCount * ImagesPerBlock, end = Math.Min(Layout.Images, start + ImagesPerBlock);
        if (Phase == ChannelPhase.Partial)
        {
            (Partials[2 * item], Partials[(2 * item) + 1]) = Sums<V>(channel, start, end);
            return;
        }
        if (Phase == ChannelPhase.Given)
        {
            Apply<V>(channel, start, end, DShift[channel], DScale[channel]);
            return;
        }
        (float totalSum, float totalProduct) = MergedSums(channel);
        if (start == 0) StoreWeightGradients(channel, totalSum, totalProduct);
        Apply<V>(channel, start, end, totalSum, totalProduct);
    }

    private readonly (float Sum, float Product) MergedSums(int channel)
    {
        float sum = 0, product = 0;
        for (int block = channel * BlockCount; block < (channel + 1) * BlockCount; block++)
        {
            sum += Partials[2 * block];
            product += Partials[(2 * block) + 1];
        }
        return (sum, product);
    }

    private readonly void StoreWeightGradients(int channel, float sum, float product)
    {
        DShift[channel] = Accumulate ? DShift[channel] + sum : sum;
        DScale[channel] = Accumulate ? DScale[channel] + product : product;
    }

    /// <summary>Σ dOutput and Σ dOutput · x̂; sums of an image are added to those before it.</summary>
    private readonly (float Sum, float Product) Sums<V>(int channel, int start, int end) where V : unmanaged, ISimd<V>
    {
        V center = V.Broadcast(Mean[channel]), sum = V.Zero, product = V.Zero;
        for (int image = start; image < end; image++)
        {
            float* x = Input + Layout.Plane(image, channel), dy = DOutput + Layout.Plane(image, channel);
            V sum0 = V.Zero, sum1 = V.Zero, product0 = V.Zero, product1 = V.Zero;
            int i = 0;
            for (; i <= Layout.Positions - (2 * V.Count); i += 2 * V.Count)
            {
                V first = V.Load(dy + i), second = V.Load(dy + i + V.Count);
                sum0 += first;
                sum1 += second;
                product0 = V.MultiplyAdd(first, V.Load(x + i) - center, product0);
                product1 = V.MultiplyAdd(second, V.Load(x + i + V.Count) - center, product1);
            }
            for (; i < Layout.Positions; i += V.Count)
            {
                int left = Math.Min(V.Count, Layout.Positions - i);
                V rest = V.LoadPartial(dy + i, left, 0f);
                sum0 += rest;
                product0 = V.MultiplyAdd(rest, V.LoadPartial(x + i, left, Mean[channel]) - center, product0);
            }
            sum += sum0 + sum1;
            product += product0 + product1;
        }
        return (V.Sum(sum), V.Sum(product) * InverseStd[channel]);
    }

    /// <summary>dInput = factor · (dOutput - sum / n) - factor · product / n · inverseStd · (input - mean).</summary>
    private readonly void Apply<V>(int channel, int start, int end, float sum, float product) where V : unmanaged, ISimd<V>
    {
        float count = Counts is null ? Layout.ElementsPerChannel : Counts[channel], scale = Scale[channel] * InverseStd[channel];
        V center = V.Broadcast(Mean[channel]), factor = V.Broadcast(scale), meanGradient = V.Broadcast(sum / count);
        V slope = V.Broadcast(-(product / count) * InverseStd[channel]);
        for (int image = start; image < end; image++)
        {
            float* x = Input + Layout.Plane(image, channel), dy = DOutput + Layout.Plane(image, channel), dx = DInput + Layout.Plane(image, channel);
            int i = 0;
            for (; i <= Layout.Positions - V.Count; i += V.Count)
                V.Store(factor * V.MultiplyAdd(V.Load(x + i) - center, slope, V.Load(dy + i) - meanGradient), dx + i);
            if (i == Layout.Positions) continue;
            int left = Layout.Positions - i;
            V deviation = V.LoadPartial(x + i, left, 0f) - center, gradient = V.LoadPartial(dy + i, left, 0f) - meanGradient;
            V.StorePartial(factor * V.MultiplyAdd(deviation, slope, gradient), dx + i, left);
        }
    }
}
