namespace DistTrain.Kernels;

/// <summary>Element by element.</summary>
internal static class GradientUnscaleReference
{
    public static void Apply(Tensor gradient, float factor, Tensor mark)
    {
        foreach (ref float element in gradient.AsSpan<float>())
        {
            element *= factor;
            if (!float.IsFinite(element)) mark.AsSpan<int>()[0] = 1;
        }
    }
}
