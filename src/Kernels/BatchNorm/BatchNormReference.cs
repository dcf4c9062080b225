namespace DistTrain.Kernels;

/// <summary>Plain loops in double precision: the oracle.</summary>
internal static class BatchNormReference
{
    public static void Forward(ChannelLayout layout, Tensor output, Tensor mean, Tensor inverseStd, Tensor input, Tensor scale, Tensor shift, float epsilon)
    {
        Span<float> x = input.AsSpan<float>(), y = output.AsSpan<float>();
        for (int c = 0; c < layout.Channels; c++)
        {
            double sum = 0, squares = 0, count = Math.Max(1, layout.ElementsPerChannel);
            for (int n = 0; n < layout.Images; n++)
                foreach (float value in x.Slice((int)layout.Plane(n, c), layout.Positions)) sum += value;
            double center = sum / count;
            for (int n = 0; n < layout.Images; n++)
                foreach (float value in x.Slice((int)layout.Plane(n, c), layout.Positions)) squares += (value - center) * (value - center);
            double inverse = 1 / Math.Sqrt((squares / count) + epsilon);
            Normalise(layout, c, y, x, center, inverse, scale.AsSpan<float>()[c], shift.AsSpan<float>()[c]);
            mean.AsSpan<float>()[c] = (float)center;
            inverseStd.AsSpan<float>()[c] = (float)inverse;
        }
    }

    public static void ForwardInference(ChannelLayout layout, Tensor output, Tensor input, Tensor runningMean, Tensor runningVariance, Tensor scale, Tensor shift, float epsilon)
    {
        for (int c = 0; c < layout.Channels; c++)
        {
            double inverse = 1 / Math.Sqrt((double)runningVariance.AsSpan<float>()[c] + epsilon);
            Normalise(layout, c, output.AsSpan<float>(), input.AsSpan<float>(), runningMean.AsSpan<float>()[c], inverse, scale.AsSpan<float>()[c], shift.AsSpan<float>()[c]);
        }
    }

    public static void UpdateRunning(Tensor runningMean, Tensor runningVariance, Tensor mean, Tensor inverseStd, float unbias, float momentum, float epsilon)
    {
        Span<float> means = runningMean.AsSpan<float>(), variances = runningVariance.AsSpan<float>();
        for (int c = 0; c < means.Length; c++)
        {
            double inverse = inverseStd.AsSpan<float>()[c], variance = Math.Abs((1 / (inverse * inverse)) - epsilon);
            means[c] = (float)(((1.0 - momentum) * means[c]) + ((double)momentum * mean.AsSpan<float>()[c]));
            variances[c] = (float)(((1.0 - momentum) * variances[c]) + (momentum * variance * unbias));
        }
    }

    public static void Backward(ChannelLayout layout, Tensor dInput, Tensor dScale, Tensor dShift, Tensor dOutput, Tensor input, Tensor mean, Tensor inverseStd, Tensor scale, bool accumulate)
    {
        Span<float> x = input.AsSpan<float>(), dy = dOutput.AsSpan<float>(), dx = dInput.AsSpan<float>();
        for (int c = 0; c < layout.Channels; c++)
        {
            double center = mean.AsSpan<float>()[c], inverse = inverseStd.AsSpan<float>()[c], sum = 0, product = 0, count = layout.ElementsPerChannel;
            foreach (int i in Elements(layout, c))
            {
                sum += dy[i];
                product += dy[i] * (x[i] - center) * inverse;
            }
            foreach (int i in Elements(layout, c))
                dx[i] = (float)(scale.AsSpan<float>()[c] * inverse * (dy[i] - (sum / count) - ((x[i] - center) * inverse * product / count)));
            ref float scaleGradient = ref dScale.AsSpan<float>()[c], shiftGradient = ref dShift.AsSpan<float>()[c];
            scaleGradient = (float)(product + (accumulate ? scaleGradient : 0));
            shiftGradient = (float)(sum + (accumulate ? shiftGradient : 0));
        }
    }

    internal static void Normalise(ChannelLayout layout, int channel, Span<float> y, Span<float> x, double center, double inverse, double scale, double shift)
    {
        foreach (int i in Elements(layout, channel)) y[i] = (float)(((x[i] - center) * inverse * scale) + shift);
    }

    internal static IEnumerable<int> Elements(ChannelLayout layout, int channel)
    {
        for (int n = 0; n < layout.Images; n++)
            for (int p = 0; p < layout.Positions; p++) yield return (int)layout.Plane(n, channel) + p;
    }
}
