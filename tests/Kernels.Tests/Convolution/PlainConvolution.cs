using System.Collections.Concurrent;
using DistTrain.TestKit;

namespace DistTrain.Kernels.Tests;

/// <summary>One convolution's sizes, drawn or written down. Channels count per group.</summary>
public sealed record ConvolutionCase(
    int Batch, int Groups, int InputChannels, int OutputChannels, int Height, int Width, int KernelHeight, int KernelWidth,
    int StrideHeight, int StrideWidth, int PaddingHeight, int PaddingWidth)
{
    public Shape Input => new(Batch, Groups * InputChannels, Height, Width);

    public Shape Weight => new(Groups * OutputChannels, InputChannels, KernelHeight, KernelWidth);

    public Shape Bias => new(Groups * OutputChannels);

    public int OutputHeight => ((Height + (2 * PaddingHeight) - KernelHeight) / StrideHeight) + 1;

    public int OutputWidth => ((Width + (2 * PaddingWidth) - KernelWidth) / StrideWidth) + 1;

    public Shape Output => new(Batch, Groups * OutputChannels, OutputHeight, OutputWidth);

    public Convolution2dOptions Options => new(StrideHeight, StrideWidth, PaddingHeight, PaddingWidth, Groups);

    /// <summary>A square case.</summary>
    public static ConvolutionCase Square(int batch, int groups, int inputs, int outputs, int size, int kernel, int stride, int padding) =>
        new(batch, groups, inputs, outputs, size, size, kernel, kernel, stride, stride, padding, padding);
}

/// <summary>The expectation, in double precision: walks every product of the convolution once and lets the caller add it where it belongs.</summary>
public static class PlainConvolution
{
    private static readonly ConcurrentDictionary<ConvolutionCase, Lazy<Expectation>> s_expectations = [];

    /// <summary>Numbers for one case and what double precision makes of them; worked out once for all devices.</summary>
    public static Expectation Of(ConvolutionCase sizes) => s_expectations.GetOrAdd(sizes, static key => new(() => new Expectation(key))).Value;

    /// <summary>Calls back with (index in output, index in input, index in weight) for each product.</summary>
    public static void ForEachProduct(ConvolutionCase c, Action<int, int, int> visit)
    {
        for (int n = 0; n < c.Batch; n++)
        for (int o = 0; o < c.Groups * c.OutputChannels; o++)
        for (int y = 0; y < c.OutputHeight; y++)
        for (int x = 0; x < c.OutputWidth; x++)
        for (int i = 0; i < c.InputChannels; i++)
        for (int u = 0; u < c.KernelHeight; u++)
        for (int v = 0; v < c.KernelWidth; v++)
        {
            int h = (y * c.StrideHeight) - c.PaddingHeight + u, w = (x * c.StrideWidth) - c.PaddingWidth + v;
            if (h < 0 || h >= c.Height || w < 0 || w >= c.Width) continue;
            int channel = (o / c.OutputChannels * c.InputChannels) + i;
            visit(
                (((((n * c.Groups * c.OutputChannels) + o) * c.OutputHeight) + y) * c.OutputWidth) + x,
                (((((n * c.Groups * c.InputChannels) + channel) * c.Height) + h) * c.Width) + w,
                (((((o * c.InputChannels) + i) * c.KernelHeight) + u) * c.KernelWidth) + v);
        }
    }

    public static double[] Forward(ConvolutionCase c, float[] input, float[] weight, float[]? bias)
    {
        double[] output = new double[c.Output.ElementCount];
        int plane = c.OutputHeight * c.OutputWidth, channels = c.Groups * c.OutputChannels;
        if (bias is not null)
        {
            for (int i = 0; i < output.Length; i++) output[i] = bias[i / plane % channels];
        }
        ForEachProduct(c, (o, i, w) => output[o] += (double)input[i] * weight[w]);
        return output;
    }

    public static (double[] Input, double[] Weight, double[] Bias) Gradients(ConvolutionCase c, float[] input, float[] weight, float[] dOutput)
    {
        double[] dInput = new double[input.Length], dWeight = new double[weight.Length], dBias = new double[c.Bias.ElementCount];
        ForEachProduct(c, (o, i, w) =>
        {
            dInput[i] += (double)dOutput[o] * weight[w];
            dWeight[w] += (double)dOutput[o] * input[i];
        });
        int plane = c.OutputHeight * c.OutputWidth;
        for (int i = 0; i < dOutput.Length; i++) dBias[i / plane % dBias.Length] += dOutput[i];
        return (dInput, dWeight, dBias);
    }
}

/// <summary>Random operands of a case, its output and its gradients in double precision.</summary>
public sealed class Expectation
{
    public Expectation(ConvolutionCase sizes)
    {
        Input = Numbers.Uniform(sizes.Input, 1);
        Weight = Numbers.Uniform(sizes.Weight, 2);
        Bias = Numbers.Uniform(sizes.Bias, 3);
        DOutput = Numbers.Uniform(sizes.Output, 4);
        Output = PlainConvolution.Forward(sizes, Input, Weight, Bias);
        (DInput, DWeight, DBias) = PlainConvolution.Gradients(sizes, Input, Weight, DOutput);
    }

    public float[] Input { get; }

    public float[] Weight { get; }

    public float[] Bias { get; }

    public float[] DOutput { get; }

    public double[] Output { get; }

    public double[] DInput { get; }

    public double[] DWeight { get; }

    public double[] DBias { get; }
}
