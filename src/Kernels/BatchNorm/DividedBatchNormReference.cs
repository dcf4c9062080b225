namespace DistTrain.Kernels;

/// <summary>Plain loops in double precision: the oracle. The loops over channels alone serve every CPU device.</summary>
internal static class DividedBatchNormReference
{
    public static void Moments(ChannelLayout layout, Tensor moments, Tensor input)
    {
        Span<float> x = input.AsSpan<float>(), rows = moments.AsSpan<float>();
        for (int c = 0; c < layout.Channels; c++)
        {
            double sum = 0, squares = 0, count = Math.Max(1, layout.ElementsPerChannel);
            foreach (int i in BatchNormReference.Elements(layout, c)) sum += x[i];
            double center = sum / count;
            foreach (int i in BatchNormReference.Elements(layout, c)) squares += (x[i] - center) * (x[i] - center);
            Store(rows, layout.Channels, c, new Moments { Count = layout.ElementsPerChannel, Mean = center, SquaredDeviations = squares });
        }
    }

    public static void Merge(Tensor moments, Tensor parts)
    {
        Span<float> rows = moments.AsSpan<float>(), all = parts.AsSpan<float>();
        int channels = parts.Shape[2], partLength = DividedBatchNorm.MomentCount * channels;
        for (int c = 0; c < channels; c++)
        {
            Moments merged = default;
            for (int part = 0; part < parts.Shape[0]; part++) merged = Kernels.Moments.Merge(merged, Load(all.Slice(part * partLength, partLength), channels, c));
            Store(rows, channels, c, merged);
        }
    }

    public static void Forward(ChannelLayout layout, Tensor output, Tensor mean, Tensor inverseStd, Tensor input, Tensor moments, Tensor scale, Tensor shift, float epsilon)
    {
        Span<float> rows = moments.AsSpan<float>();
        StoreStatistics(layout, mean, inverseStd, moments, epsilon);
        for (int c = 0; c < layout.Channels; c++)
        {
            Moments whole = Load(rows, layout.Channels, c);
            double inverse = 1 / Math.Sqrt((whole.Count > 0 ? whole.SquaredDeviations / whole.Count : 0) + epsilon);
            BatchNormReference.Normalise(layout, c, output.AsSpan<float>(), input.AsSpan<float>(), whole.Mean, inverse, scale.AsSpan<float>()[c], shift.AsSpan<float>()[c]);
        }
    }

    /// <summary>Rounds a whole batch's statistics for the backward pass.</summary>
    public static void StoreStatistics(ChannelLayout layout, Tensor mean, Tensor inverseStd, Tensor moments, float epsilon)
    {
        for (int c = 0; c < layout.Channels; c++)
        {
            Moments whole = Load(moments.AsSpan<float>(), layout.Channels, c);
            mean.AsSpan<float>()[c] = whole.RoundedMean;
            inverseStd.AsSpan<float>()[c] = whole.InverseStd(epsilon);
        }
    }

    public static void UpdateRunning(Tensor runningMean, Tensor runningVariance, Tensor moments, float momentum)
    {
        Span<float> means = runningMean.AsSpan<float>(), variances = runningVariance.AsSpan<float>();
        for (int c = 0; c < means.Length; c++)
        {
            Moments batch = Load(moments.AsSpan<float>(), means.Length, c);
            if (batch.Count == 0) continue;
            means[c] = (float)(((1.0 - momentum) * means[c]) + (momentum * batch.Mean));
            variances[c] = (float)(((1.0 - momentum) * variances[c]) + (momentum * batch.SquaredDeviations / Math.Max(1, batch.Count - 1)));
        }
    }

    public static void GradientSums(ChannelLayout layout, Tensor sums, Tensor dOutput, Tensor input, Tensor mean, Tensor inverseStd)
    {
        Span<float> x = input.AsSpan<float>(), dy = dOutput.AsSpan<float>(), rows = sums.AsSpan<float>();
        for (int c = 0; c < layout.Channels; c++)
        {
            double center = mean.AsSpan<float>()[c], inverse = inverseStd.AsSpan<float>()[c], sum = 0, product = 0;
            foreach (int i in BatchNormReference.Elements(layout, c))
            {
                sum += dy[i];
                product += dy[i] * (x[i] - center) * inverse;
            }
            (rows[c], rows[layout.Channels + c]) = ((float)sum, (float)product);
        }
    }

    public static void InputGradient(ChannelLayout layout, Tensor dInput, Tensor dOutput, Tensor input, Tensor mean, Tensor inverseStd, Tensor scale, Tensor sums, Tensor moments)
    {
        Span<float> x = input.AsSpan<float>(), dy = dOutput.AsSpan<float>(), dx = dInput.AsSpan<float>(), rows = sums.AsSpan<float>();
        for (int c = 0; c < layout.Channels; c++)
        {
            double center = mean.AsSpan<float>()[c], inverse = inverseStd.AsSpan<float>()[c], count = moments.AsSpan<float>()[c];
            double sum = rows[c], product = rows[layout.Channels + c];
            foreach (int i in BatchNormReference.Elements(layout, c))
                dx[i] = (float)(scale.AsSpan<float>()[c] * inverse * (dy[i] - (sum / count) - ((x[i] - center) * inverse * product / count)));
        }
    }

    private static Moments Load(Span<float> rows, int channels, int channel) => new()
    {
        Count = rows[channel],
        Mean = (double)rows[channels + channel] + rows[(2 * channels) + channel],
        SquaredDeviations = rows[(3 * channels) + channel],
    };

    private static void Store(Span<float> rows, int channels, int channel, Moments moments)
    {
        rows[channel] = (float)moments.Count;
        rows[channels + channel] = moments.RoundedMean;
        rows[(2 * channels) + channel] = moments.MeanRest;
        rows[(3 * channels) + channel] = (float)moments.SquaredDeviations;
    }
}
