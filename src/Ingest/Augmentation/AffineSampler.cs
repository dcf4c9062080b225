using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace DistTrain.Ingest;

/// <summary>
/// Moves pixels by an affine map, bilinearly: what lies outside the source has the fill value in every channel. Coordinates have 32 bits of fraction
/// and weights 11, in integers: the same bytes on every machine, and exactly the source's pixels where the map meets their centres.
/// </summary>
public static class AffineSampler
{
    private const int PositionBits = 32, WeightBits = 11, One = 1 << WeightBits;

    /// <summary>Fills <paramref name="destination"/>, which may have another size than <paramref name="source"/> but has as many channels.</summary>
    /// <exception cref="ArgumentException">
    /// Different channels, shared memory, or a map that is not finite or leads further than 2^30 pixels away.
    /// </exception>
    public static void Sample(in ImageView source, in ImageView destination, in AffineMap map, byte fill)
    {
        if (source.Channels != destination.Channels)
            throw new ArgumentException($"{source.Channels} channels can't be sampled into {destination.Channels}", nameof(destination));
        destination.CheckApart(source);
        CheckReach(map, destination);
        // Half a weight's step more, so that positions round to the nearest weight.
        const long Half = 1L << (PositionBits - WeightBits - 1);
        Step step = new(Fixed(map.XX), Fixed(map.YX));
        for (int y = 0; y < destination.Height; y++)
        {
            long column = Fixed(map.X0) + (y * Fixed(map.XY)) + Half, row = Fixed(map.Y0) + (y * Fixed(map.YY)) + Half;
            if (source.Channels == 1) SampleRow<Grey>(source, destination.Row(y), column, row, step, fill);
            else SampleRow<Colours>(source, destination.Row(y), column, row, step, fill);
        }
    }

    private static long Fixed(double value) => (long)Math.Floor((value * (1L << PositionBits)) + 0.5);

    // Beyond that, positions could pass what 64 bits hold.
    private static void CheckReach(in AffineMap map, in ImageView destination)
    {
        double across = (Math.Abs(map.XX) * destination.Width) + (Math.Abs(map.XY) * destination.Height) + Math.Abs(map.X0);
        double down = (Math.Abs(map.YX) * destination.Width) + (Math.Abs(map.YY) * destination.Height) + Math.Abs(map.Y0);
        if (!(across < 1 << 30) || !(down < 1 << 30))
            throw new ArgumentException($"{map} leads too far outside for an image of {destination.Height} x {destination.Width}", nameof(map));
    }

    private static void SampleRow<TPixel>(in ImageView source, Span<byte> output, long column, long row, Step step, byte fill) where TPixel : struct, IPixel
    {
        int channels = TPixel.Channels, count = output.Length / channels, first = 0, end = count - 1;
        // All four neighbours of these are inside, and there is something behind them in memory on either side.
        Narrow(column, step.Column, source.Width - 2, ref first, ref end);
        Narrow(row, step.Row, source.Height - 1, ref first, ref end);
        if (first >= end) first = end = 0;
        SampleEdge<TPixel>(source, output, 0, first, column, row, step, fill);
        ref byte pixels = ref MemoryMarshal.GetReference(source.Pixels);
        ref byte target = ref MemoryMarshal.GetReference(output);
        int rowByteCount = source.RowByteCount;
        long x = column + (first * step.Column), y = row + (first * step.Row);
        for (int to = first; to < end; to++, x += step.Column, y += step.Row)
        {
            ref byte upper = ref Unsafe.Add(ref pixels, ((int)(y >> PositionBits) * rowByteCount) + ((int)(x >> PositionBits) * channels));
            TPixel.Blend(ref upper, ref Unsafe.Add(ref upper, rowByteCount), Weight(x), Weight(y), ref Unsafe.Add(ref target, to * channels));
        }
        SampleEdge<TPixel>(source, output, end, count, column, row, step, fill);
    }

    // Leaves of first to end those steps whose position is from 0 to below the limit.
    private static void Narrow(long start, long step, int limit, ref int first, ref int end)
    {
        long bound = (long)limit << PositionBits;
        if (step == 0)
        {
            if (start < 0 || start >= bound) end = first;
            return;
        }
        // Steps until the position is at least 0, or at least the bound: divisions rounded up.
        long enter = step > 0 ? DivideUp(-start, step) : DivideUp(start - bound + 1, -step);
        long leave = step > 0 ? DivideUp(bound - start, step) : DivideUp(start + 1, -step);
        first = (int)Math.Clamp(enter, first, Math.Max(first, end));
        end = (int)Math.Clamp(leave, first, Math.Max(first, end));
    }

    private static long DivideUp(long value, long positive) => value <= 0 ? 0 : ((value - 1) / positive) + 1;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static int Weight(long position) => (int)(position >> (PositionBits - WeightBits)) & (One - 1);

    private static void SampleEdge<TPixel>(
        in ImageView source, Span<byte> output, int first, int end, long column, long row, Step step, byte fill) where TPixel : struct, IPixel
    {
        ReadOnlySpan<byte> pixels = source.Pixels;
        int width = source.Width, height = source.Height, rowByteCount = source.RowByteCount, channels = TPixel.Channels;
        for (int to = first; to < end; to++)
        {
            long atColumn = column + (to * step.Column), atRow = row + (to * step.Row);
            int x = (int)(atColumn >> PositionBits), y = (int)(atRow >> PositionBits), right = Weight(atColumn), down = Weight(atRow);
            bool hasLeft = (uint)x < (uint)width, hasRight = (uint)(x + 1) < (uint)width;
            bool hasUpper = (uint)y < (uint)height, hasLower = (uint)(y + 1) < (uint)height;
            int at = (y * rowByteCount) + (x * channels);
            for (int channel = 0; channel < channels; channel++, at++)
            {
                int upperLeft = hasUpper && hasLeft ? pixels[at] : fill, upperRight = hasUpper && hasRight ? pixels[at + channels] : fill;
                int lowerLeft = hasLower && hasLeft ? pixels[at + rowByteCount] : fill;
                int lowerRight = hasLower && hasRight ? pixels[at + rowByteCount + channels] : fill;
                output[(to * channels) + channel] = Blend(upperLeft, upperRight, lowerLeft, lowerRight, right, down);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static byte Blend(int upperLeft, int upperRight, int lowerLeft, int lowerRight, int right, int down)
    {
        int upper = (upperLeft * One) + ((upperRight - upperLeft) * right), lower = (lowerLeft * One) + ((lowerRight - lowerLeft) * right);
        return (byte)(((upper * One) + ((lower - upper) * down) + (1 << ((2 * WeightBits) - 1))) >> (2 * WeightBits));
    }

    // What a step to the next column of the result is in the source.
    private readonly record struct Step(long Column, long Row);

    // Two neighbouring pixels of a row and the two below them to one.
    private interface IPixel
    {
        static abstract int Channels { get; }

        static abstract void Blend(ref byte upper, ref byte lower, int right, int down, ref byte output);
    }

    private readonly struct Grey : IPixel
    {
        public static int Channels => 1;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static void Blend(ref byte upper, ref byte lower, int right, int down, ref byte output) =>
            output = AffineSampler.Blend(upper, Unsafe.Add(ref upper, 1), lower, Unsafe.Add(ref lower, 1), right, down);
    }

    // The channels are three of four lanes; the fourth is the next pixel's, and written again with that.
    private readonly struct Colours : IPixel
    {
        public static int Channels => 3;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static void Blend(ref byte upper, ref byte lower, int right, int down, ref byte output)
        {
            Vector128<int> above = Between(Load(ref upper), Load(ref Unsafe.Add(ref upper, 3)), right);
            Vector128<int> below = Between(Load(ref lower), Load(ref Unsafe.Add(ref lower, 3)), right);
            Vector128<int> sum = (above << WeightBits) + ((below - above) * down) + Vector128.Create(1 << ((2 * WeightBits) - 1));
            Vector128<ushort> words = Vector128.Narrow((sum >> (2 * WeightBits)).AsUInt32(), Vector128<uint>.Zero);
            Unsafe.WriteUnaligned(ref output, Vector128.Narrow(words, words).AsUInt32().ToScalar());
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static Vector128<int> Between(Vector128<int> left, Vector128<int> right, int weight) => (left << WeightBits) + ((right - left) * weight);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static Vector128<int> Load(ref byte pixel) =>
            Vector128.WidenLower(Vector128.WidenLower(Vector128.CreateScalarUnsafe(Unsafe.ReadUnaligned<uint>(ref pixel)).AsByte())).AsInt32();
    }
}
