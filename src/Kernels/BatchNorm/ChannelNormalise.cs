namespace DistTrain.Kernels;

/// <summary>Forward batch norm where each channel has runs of positions. An item is a channel, or a (channel, block of images).</summary>
internal unsafe struct ChannelNormalise : ISimdKernel
{
    private const int GroupElementCount = 4_096;

    public ChannelLayout Layout;
    public ChannelPhase Phase;
    public float* Output;
    public float* Input;
    public float* Mean;
    public float* Spread; // 1 / standard deviation, out; in inference the running variance
    public float* Scale;
    public float* Shift;
    public float* Rest;      // what the mean lost in rounding, where statistics are given
    public float* Statistics; // moments out: a row of channels each of count, mean, rest, squared deviations
    public double* Partials;
    public float Epsilon;
    public int ImagesPerBlock;

    public readonly int BlockCount => (Layout.Images + ImagesPerBlock - 1) / ImagesPerBlock;

    public readonly void Run<V>(int item) where V : unmanaged, ISimd<V>
    {
        if (Phase == ChannelPhase.Whole)
        {
            Moments moments = MomentsOf<V>(item, 0, Layout.Images);
            StoreStatistics(item, moments);
            Normalise<V>(item, 0, Layout.Images, moments.RoundedMean, moments.MeanRest, moments.InverseStd(Epsilon));
            return;
        }
        if (Phase is ChannelPhase.Statistics or ChannelPhase.MergeStatistics)
        {
            StoreMoments(item, Phase == ChannelPhase.Statistics ? MomentsOf<V>(item, 0, Layout.Images) : MergedMoments(item));
            return;
        }
        int channel = item / BlockCount, start = item % BlockCount * ImagesPerBlock, end = Math.Min(Layout.Images, start + ImagesPerBlock);
        switch (Phase)
        {
            case ChannelPhase.Partial:
                MomentsOf<V>(channel, start, end).Store(Partials + ((long)item * Moments.FieldCount));
                break;
            case ChannelPhase.Finish:
                Moments moments = MergedMoments(channel);
                if (start == 0) StoreStatistics(channel, moments);
                Normalise<V>(channel, start, end, moments.RoundedMean, moments.MeanRest, moments.InverseStd(Epsilon));
                break;
            case ChannelPhase.Given:
                Normalise<V>(channel, start, end, Mean[channel], Rest[channel], Spread[channel]);
                break;
            default:
                Normalise<V>(channel, start, end, Mean[channel], 0f, (float)(1 / Math.Sqrt((double)Spread[channel] + Epsilon)));
                break;
        }
    }

    private readonly void StoreStatistics(int channel, Moments moments)
    {
        Mean[channel] = moments.RoundedMean;
        Spread[channel] = moments.InverseStd(Epsilon);
    }

    private readonly Moments MergedMoments(int channel)
    {
        Moments moments = default;
        for (int block = 0; block < BlockCount; block++)
            moments = Moments.Merge(moments, Moments.Load(Partials + ((((long)channel * BlockCount) + block) * Moments.FieldCount)));
        return moments;
    }

    private readonly void StoreMoments(int channel, Moments moments)
    {
        Statistics[channel] = (float)moments.Count;
        Statistics[Layout.Channels + channel] = moments.RoundedMean;
        Statistics[(2 * Layout.Channels) + channel] = moments.MeanRest;
        Statistics[(3 * Layout.Channels) + channel] = (float)moments.SquaredDeviations;
    }

    /// <summary>Moments of groups of images that the first-level cache holds, merged in order: memory is read once.</summary>
    private readonly Moments MomentsOf<V>(int channel, int start, int end) where V : unmanaged, ISimd<V>
    {
        int imagesPerGroup = Math.Max(1, GroupElementCount / Math.Max(1, Layout.Positions));
        Moments moments = default;
        for (int image = start; image < end; image += imagesPerGroup)
            moments = Moments.Merge(moments, MomentsOfGroup<V>(channel, image, Math.Min(end, image + imagesPerGroup)));
        return moments;
    }

    /// <summary>Two passes over the images: the mean, then deviations from it. Sums of an image are added to those before it.</summary>
    private readonly Moments MomentsOfGroup<V>(int channel, int start, int end) where V : unmanaged, ISimd<V>
    {
        double count = (double)(end - start) * Layout.Positions;
        if (count == 0) return default;
        V sum = V.Zero, squares = V.Zero;
        for (int image = start; image < end; image++) sum += Moments.SumRow<V>(Input + Layout.Plane(image, channel), Layout.Positions);
        float center = (float)(V.Sum(sum) / count);
        sum = V.Zero;
        for (int image = start; image < end; image++)
        {
            (V deviations, V squared) = Moments.DeviationsOfRow<V>(Input + Layout.Plane(image, channel), Layout.Positions, center);
            sum += deviations;
            squares += squared;
        }
        return Moments.FromDeviations(count, center, V.Sum(sum), V.Sum(squares));
    }

    private readonly void Normalise<V>(int channel, int start, int end, float mean, float meanRest, float inverseStd) where V : unmanaged, ISimd<V>
    {
        float factor = inverseStd * Scale[channel];
        V center = V.Broadcast(mean), scale = V.Broadcast(factor), addend = V.Broadcast(Shift[channel] - (meanRest * factor));
        for (int image = start; image < end; image++)
        {
            float* x = Input + Layout.Plane(image, channel), y = Output + Layout.Plane(image, channel);
            int i = 0;
            for (; i <= Layout.Positions - V.Count; i += V.Count) V.Store(V.MultiplyAdd(V.Load(x + i) - center, scale, addend), y + i);
            if (i == Layout.Positions) continue;
            int left = Layout.Positions - i;
            V.StorePartial(V.MultiplyAdd(V.LoadPartial(x + i, left, 0f) - center, scale, addend), y + i, left);
        }
    }
}
