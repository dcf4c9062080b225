using System.Diagnostics.CodeAnalysis;

namespace DistTrain.Kernels;

/// <summary>Plain loops: the oracle.</summary>
internal static class Pooling2dReference
{
    public static void MaxForward(Tensor output, Tensor indices, Tensor input, in PoolingGeometry g)
    {
        Span<float> maxima = output.AsSpan<float>(), inputs = input.AsSpan<float>();
        Span<int> places = indices.AsSpan<int>();
        for (int i = 0; i < maxima.Length; i++)
        {
            (int y, int x) = Math.DivRem(i % g.OutputPlane, g.OutputWidth);
            Span<float> plane = inputs.Slice(i / g.OutputPlane * g.InputPlane, g.InputPlane);
            int best = (g.FirstRow(y) * g.InputWidth) + g.FirstColumn(x);
            for (int h = g.FirstRow(y); h < g.EndRow(y); h++)
            {
                for (int w = g.FirstColumn(x); w < g.EndColumn(x); w++)
                {
                    int cell = (h * g.InputWidth) + w;
                    if (plane[cell] > plane[best] || (float.IsNaN(plane[cell]) && !float.IsNaN(plane[best]))) best = cell;
                }
            }
            maxima[i] = plane[best];
            places[i] = best;
        }
    }

    public static void MaxBackward(Tensor dInput, Tensor dOutput, Tensor indices, in PoolingGeometry g)
    {
        Span<float> results = dInput.AsSpan<float>(), gradients = dOutput.AsSpan<float>();
        Span<int> places = indices.AsSpan<int>();
        results.Clear();
        for (int i = 0; i < gradients.Length; i++)
        {
            if ((uint)places[i] >= (uint)g.InputPlane) ThrowPlace(i, places[i], g);
            results.Slice(i / g.OutputPlane * g.InputPlane, g.InputPlane)[places[i]] += gradients[i];
        }
    }

    [DoesNotReturn]
    public static void ThrowPlace(long position, int place, in PoolingGeometry g) =>
        throw new ArgumentException($"max pooling backward: indices[{position}] is {place}, expected 0 to {g.InputPlane - 1}");

    public static void AverageForward(Tensor output, Tensor input, in PoolingGeometry g)
    {
        Span<float> means = output.AsSpan<float>(), inputs = input.AsSpan<float>();
        for (int i = 0; i < means.Length; i++)
        {
            (int y, int x) = Math.DivRem(i % g.OutputPlane, g.OutputWidth);
            Span<float> plane = inputs.Slice(i / g.OutputPlane * g.InputPlane, g.InputPlane);
            double sum = 0;
            for (int h = g.FirstRow(y); h < g.EndRow(y); h++)
            {
                for (int w = g.FirstColumn(x); w < g.EndColumn(x); w++) sum += plane[(h * g.InputWidth) + w];
            }
            means[i] = (float)(sum / ((g.EndRow(y) - g.FirstRow(y)) * (g.EndColumn(x) - g.FirstColumn(x))));
        }
    }

    public static void AverageBackward(Tensor dInput, Tensor dOutput, in PoolingGeometry g)
    {
        Span<float> results = dInput.AsSpan<float>(), gradients = dOutput.AsSpan<float>();
        results.Clear();
        for (int i = 0; i < gradients.Length; i++)
        {
            (int y, int x) = Math.DivRem(i % g.OutputPlane, g.OutputWidth);
            Span<float> plane = results.Slice(i / g.OutputPlane * g.InputPlane, g.InputPlane);
            float share = gradients[i] / ((g.EndRow(y) - g.FirstRow(y)) * (g.EndColumn(x) - g.FirstColumn(x)));
            for (int h = g.FirstRow(y); h < g.EndRow(y); h++)
            {
                for (int w = g.FirstColumn(x); w < g.EndColumn(x); w++) plane[(h * g.InputWidth) + w] += share;
            }
        }
    }
}
