using DistTrain.Kernels;
using Xunit;

namespace DistTrain.TestKit;

/// <summary>Test inputs and comparisons.</summary>
public static class Numbers
{
    /// <summary>Numbers drawn evenly from [-scale, scale).</summary>
    public static float[] Uniform(Shape shape, int seed, float scale = 1f)
    {
        Random random = new(seed);
        float[] numbers = new float[shape.ElementCount];
        for (int i = 0; i < numbers.Length; i++) numbers[i] = ((random.NextSingle() * 2f) - 1f) * scale;
        return numbers;
    }

    /// <summary>Asserts |actual - expected| ≤ absolute + relative · |expected| for every element; infinities and NaN must match exactly.</summary>
    public static void AssertClose(ReadOnlySpan<float> expected, ReadOnlySpan<float> actual, float absolute = 1e-6f, float relative = 1e-5f)
    {
        Assert.Equal(expected.Length, actual.Length);
        for (int i = 0; i < expected.Length; i++)
        {
            float e = expected[i], a = actual[i];
            if (e.Equals(a)) continue;
            bool close = float.IsFinite(e) && float.IsFinite(a) && MathF.Abs(a - e) <= absolute + (relative * MathF.Abs(e));
            Assert.True(close, $"element {i} of {expected.Length}: expected {e:G9}, found {a:G9} (tolerance {absolute:G3} + {relative:G3} relative)");
        }
    }

    /// <summary>As above against a double-precision expectation.</summary>
    public static void AssertClose(double[] expected, float[] actual, float absolute = 1e-6f, float relative = 1e-5f) =>
        AssertClose(expected.Select(value => (float)value).ToArray().AsSpan(), actual.AsSpan(), absolute, relative);

    /// <summary>Asserts equal bits, element by element.</summary>
    public static void AssertSameBits(float[] expected, float[] actual)
    {
        Assert.Equal(expected.Length, actual.Length);
        for (int i = 0; i < expected.Length; i++)
        {
            Assert.True(BitConverter.SingleToUInt32Bits(expected[i]) == BitConverter.SingleToUInt32Bits(actual[i]),
                $"element {i} of {expected.Length}: expected {expected[i]:G9}, found {actual[i]:G9}, which has other bits");
        }
    }
}
