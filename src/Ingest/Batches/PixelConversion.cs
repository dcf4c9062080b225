using System.Numerics;
using System.Runtime.CompilerServices;

namespace DistTrain.Ingest;

/// <summary>Bytes to scaled floats, a vector at a time. Divisions are never replaced by reciprocals: see <see cref="InputScale"/>.</summary>
internal static class PixelConversion
{
    internal static void Convert(ReadOnlySpan<byte> pixels, Span<float> destination, in InputScale scale)
    {
        int done = ConvertVectors(pixels, destination, scale);
        bool isNormalised = IsNormalised(scale);
        for (int i = done; i < pixels.Length; i++)
        {
            float value = pixels[i] / scale.Divisor;
            destination[i] = isNormalised ? (value - scale.Mean) / scale.StandardDeviation : value;
        }
    }

    private static bool IsNormalised(in InputScale scale) => scale.Mean != 0 || scale.StandardDeviation != 1;

    private static int ConvertVectors(ReadOnlySpan<byte> pixels, Span<float> destination, in InputScale scale)
    {
        int width = Vector<byte>.Count, step = Vector<float>.Count, done = 0;
        bool isNormalised = IsNormalised(scale);
        Vector<float> divisor = new(scale.Divisor), mean = new(scale.Mean), deviation = new(scale.StandardDeviation);
        for (; done <= pixels.Length - width; done += width)
        {
            Vector.Widen(new Vector<byte>(pixels[done..]), out Vector<ushort> low, out Vector<ushort> high);
            Vector.Widen(low, out Vector<uint> first, out Vector<uint> second);
            Vector.Widen(high, out Vector<uint> third, out Vector<uint> fourth);
            Span<float> here = destination.Slice(done, width);
            Store(first, here);
            Store(second, here[step..]);
            Store(third, here[(2 * step)..]);
            Store(fourth, here[(3 * step)..]);
        }
        return done;

        // Signed integers: processors without AVX-512 have no instruction for unsigned ones.
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        void Store(Vector<uint> part, Span<float> here)
        {
            Vector<float> values = Vector.ConvertToSingle(Vector.AsVectorInt32(part)) / divisor;
            if (isNormalised) values = (values - mean) / deviation;
            values.CopyTo(here);
        }
    }
}
