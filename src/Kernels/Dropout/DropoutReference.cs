namespace DistTrain.Kernels;

/// <summary>Element by element.</summary>
internal static class DropoutReference
{
    public static void Run(Tensor output, Tensor input, float probability, float scale, RandomStream random)
    {
        Span<float> result = output.AsSpan<float>(), x = input.AsSpan<float>();
        SampleTiles tiles = new(output.Shape);
        for (int i = 0; i < result.Length; i++)
        {
            int sample = (int)(i / tiles.SampleLength), element = (int)(i % tiles.SampleLength);
            PhiloxBlock words = random.Block(sample, (uint)(element / 4));
            uint word = (element % 4) switch { 0 => words.X, 1 => words.Y, 2 => words.Z, _ => words.W };
            // A product, so that a NaN that is dropped still shows.
            result[i] = x[i] * (Philox.Fraction(word) < probability ? 0f : scale);
        }
    }
}
