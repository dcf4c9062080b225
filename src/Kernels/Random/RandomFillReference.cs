namespace DistTrain.Kernels;

/// <summary>Element by element.</summary>
internal static class RandomFillReference
{
    public static void Fill(Tensor output, RandomRule rule, RandomStream random)
    {
        Span<float> numbers = output.AsSpan<float>();
        SampleTiles tiles = new(output.Shape);
        for (int i = 0; i < numbers.Length; i++)
        {
            int sample = (int)(i / tiles.SampleLength), element = (int)(i % tiles.SampleLength);
            numbers[i] = rule.Number(random.Block(sample, (uint)(element / 4)), element % 4);
        }
    }
}
