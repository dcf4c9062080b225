using DistTrain.Ingest;

namespace DistTrain.Runtime.Tests;

/// <summary>Images that a classifier can tell apart: each class is a pattern of bright pixels, with noise over it.</summary>
internal static class SyntheticImages
{
    public static LabelledImages Make(int count, int side, int classCount, int seed)
    {
        Random patterns = new(77), random = new(seed);
        byte[][] pattern = [.. Enumerable.Range(0, classCount).Select(_ => Enumerable.Range(0, side * side).Select(_ => (byte)(patterns.Next(3) == 0 ? 180 : 20)).ToArray())];
        byte[] pixels = new byte[count * side * side], labels = new byte[count];
        for (int i = 0; i < count; i++)
        {
            labels[i] = (byte)(i % classCount);
            for (int p = 0; p < side * side; p++) pixels[(i * side * side) + p] = (byte)(pattern[labels[i]][p] + random.Next(60));
        }
        return new LabelledImages(pixels, labels, 1, side, side, [.. Enumerable.Range(0, classCount).Select(i => $"class {i}")], "synthetic images");
    }
}
