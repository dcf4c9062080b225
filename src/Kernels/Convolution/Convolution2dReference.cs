namespace DistTrain.Kernels;

/// <summary>Plain loops in double precision: the oracle.</summary>
internal static class Convolution2dReference
{
    public static void Forward<TActivation>(Tensor output, Tensor input, Tensor weight, Tensor? bias, in ConvolutionGeometry g)
        where TActivation : unmanaged, IUnaryOperator
    {
        TActivation activation = default;
        Span<float> results = output.AsSpan<float>(), inputs = input.AsSpan<float>(), weights = weight.AsSpan<float>();
        Span<float> biases = bias is null ? [] : bias.AsSpan<float>();
        int i = 0;
        for (int n = 0; n < g.BatchCount; n++)
        {
            for (int o = 0; o < g.Groups * g.OutputChannels; o++)
            {
                Span<float> filter = weights.Slice(o * g.TapCount, g.TapCount);
                Span<float> channels = GroupChannels(inputs, n, o / g.OutputChannels, g);
                for (int y = 0; y < g.OutputHeight; y++)
                {
                    for (int x = 0; x < g.OutputWidth; x++)
                        results[i++] = activation.Apply((float)(Window(filter, channels, y, x, g) + (bias is null ? 0 : biases[o])));
                }
            }
        }
    }

    public static void BackwardInput(Tensor dInput, Tensor dOutput, Tensor weight, in ConvolutionGeometry g)
    {
        Span<float> results = dInput.AsSpan<float>(), gradients = dOutput.AsSpan<float>(), weights = weight.AsSpan<float>();
        int i = 0;
        for (int n = 0; n < g.BatchCount; n++)
        {
            for (int c = 0; c < g.Groups * g.InputChannels; c++)
            {
                for (int h = 0; h < g.InputHeight; h++)
                {
                    for (int w = 0; w < g.InputWidth; w++) results[i++] = (float)InputGradient(gradients, weights, n, c, h, w, g);
                }
            }
        }
    }

    public static void BackwardWeight(
        Tensor dWeight, Tensor? dBias, Tensor dOutput, Tensor input, in ConvolutionGeometry g, bool accumulate)
    {
        Span<float> results = dWeight.AsSpan<float>(), gradients = dOutput.AsSpan<float>(), inputs = input.AsSpan<float>();
        for (int i = 0; i < results.Length; i++)
        {
            (int o, int tap) = Math.DivRem(i, g.TapCount);
            results[i] = (float)((accumulate ? results[i] : 0) + WeightGradient(gradients, inputs, o, tap, g));
        }
        if (dBias is null) return;
        Span<float> biases = dBias.AsSpan<float>();
        for (int o = 0; o < biases.Length; o++)
        {
            double sum = accumulate ? biases[o] : 0;
            for (int n = 0; n < g.BatchCount; n++)
            {
                foreach (float gradient in gradients.Slice(((n * biases.Length) + o) * g.OutputPlane, g.OutputPlane)) sum += gradient;
            }
            biases[o] = (float)sum;
        }
    }

    /// <summary>The input channels of one image that one group sees.</summary>
    private static Span<float> GroupChannels(Span<float> inputs, int n, int group, in ConvolutionGeometry g)
    {
        int count = g.InputChannels * g.InputPlane;
        return inputs.Slice(((n * g.Groups) + group) * count, count);
    }

    private static double Window(Span<float> filter, Span<float> channels, int y, int x, in ConvolutionGeometry g)
    {
        double sum = 0;
        for (int tap = 0; tap < filter.Length; tap++)
        {
            if (TryCell(tap, y, x, g, out int cell)) sum += (double)filter[tap] * channels[cell];
        }
        return sum;
    }

    /// <summary>The cell among a group's input channels that a tap reads for output (y, x); false in the padding.</summary>
    private static bool TryCell(int tap, int y, int x, in ConvolutionGeometry g, out int cell)
    {
        (int c, int place) = Math.DivRem(tap, g.KernelPlane);
        (int u, int v) = Math.DivRem(place, g.KernelWidth);
        int h = (y * g.StrideHeight) + u - g.PaddingHeight, w = (x * g.StrideWidth) + v - g.PaddingWidth;
        cell = (((c * g.InputHeight) + h) * g.InputWidth) + w;
        return (uint)h < (uint)g.InputHeight && (uint)w < (uint)g.InputWidth;
    }

    private static double InputGradient(Span<float> gradients, Span<float> weights, int n, int c, int h, int w, in ConvolutionGeometry g)
    {
        double sum = 0;
        (int group, int channel) = Math.DivRem(c, g.InputChannels);
        for (int o = group * g.OutputChannels; o < (group + 1) * g.OutputChannels; o++)
        {
            Span<float> filter = weights.Slice(((o * g.InputChannels) + channel) * g.KernelPlane, g.KernelPlane);
            Span<float> plane = gradients.Slice(((n * g.Groups * g.OutputChannels) + o) * g.OutputPlane, g.OutputPlane);
            for (int u = 0; u < g.KernelHeight; u++)
            {
                (int y, int restY) = Math.DivRem(h + g.PaddingHeight - u, g.StrideHeight);
                if (restY != 0 || (uint)y >= (uint)g.OutputHeight) continue;
                for (int v = 0; v < g.KernelWidth; v++)
                {
                    (int x, int restX) = Math.DivRem(w + g.PaddingWidth - v, g.StrideWidth);
                    if (restX == 0 && (uint)x < (uint)g.OutputWidth)
                        sum += (double)plane[(y * g.OutputWidth) + x] * filter[(u * g.KernelWidth) + v];
                }
            }
        }
        return sum;
    }

    private static double WeightGradient(Span<float> gradients, Span<float> inputs, int o, int tap, in ConvolutionGeometry g)
    {
        double sum = 0;
        for (int n = 0; n < g.BatchCount; n++)
        {
            Span<float> channels = GroupChannels(inputs, n, o / g.OutputChannels, g);
            Span<float> plane = gradients.Slice(((n * g.Groups * g.OutputChannels) + o) * g.OutputPlane, g.OutputPlane);
            for (int y = 0; y < g.OutputHeight; y++)
            {
                for (int x = 0; x < g.OutputWidth; x++)
                {
                    if (TryCell(tap, y, x, g, out int cell)) sum += (double)plane[(y * g.OutputWidth) + x] * channels[cell];
                }
            }
        }
        return sum;
    }
}
