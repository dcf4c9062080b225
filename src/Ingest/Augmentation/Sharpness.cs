using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace DistTrain.Ingest;

/// <summary>
/// Away from the smoothed image (a factor above 1) or towards it (0 is the smoothed image itself). Smoothed is each pixel's 3 x 3 neighbourhood with
/// weight 5 in the middle and 1 elsewhere, divided by 13 and rounded to the nearest; pixels at the edges stay as they are. Integers: the same bytes
/// on every machine.
/// </summary>
public static class Sharpness
{
    private const int WeightSum = 13;

    /// <summary>From <paramref name="source"/> into <paramref name="destination"/>, of the same size.</summary>
    public static void Apply(in ImageView source, in ImageView destination, double factor)
    {
        source.CheckSameSize(destination);
        destination.CheckApart(source);
        int weight = ValueTable.Weight(factor), channels = source.Channels;
        for (int y = 0; y < source.Height; y++)
        {
            ReadOnlySpan<byte> middle = source.Row(y);
            Span<byte> output = destination.Row(y);
            middle.CopyTo(output);
            if (y == 0 || y == source.Height - 1 || source.Width < 3) continue;
            ReadOnlySpan<byte> upper = source.Row(y - 1), lower = source.Row(y + 1);
            SharpenRow(upper, middle, lower, output, channels, weight);
        }
    }

    private static void SharpenRow(
        ReadOnlySpan<byte> upper, ReadOnlySpan<byte> middle, ReadOnlySpan<byte> lower, Span<byte> output, int channels, int weight)
    {
        int i = channels, end = output.Length - channels;
        for (; i <= end - 8; i += 8)
        {
            Vector128<ushort> centre = Load(middle, i), sum = Vector128.Create((ushort)(WeightSum / 2)) + (centre * 5)
                + Load(upper, i - channels) + Load(upper, i) + Load(upper, i + channels) + Load(middle, i - channels) + Load(middle, i + channels)
                + Load(lower, i - channels) + Load(lower, i) + Load(lower, i + channels);
            Vector128<ushort> sharp = Vector128.Narrow(
                Blend(Vector128.WidenLower(sum), Vector128.WidenLower(centre), weight),
                Blend(Vector128.WidenUpper(sum), Vector128.WidenUpper(centre), weight));
            Unsafe.WriteUnaligned(ref output[i], Vector128.Narrow(sharp, sharp).AsUInt64().ToScalar());
        }
        for (; i < end; i++)
        {
            int left = i - channels, right = i + channels;
            int sum = upper[left] + upper[i] + upper[right] + middle[left] + (5 * middle[i]) + middle[right] + lower[left] + lower[i] + lower[right];
            output[i] = ValueTable.Blend((sum + (WeightSum / 2)) / WeightSum, middle[i], weight);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<ushort> Load(ReadOnlySpan<byte> bytes, int at) =>
        Vector128.WidenLower(Vector128.CreateScalarUnsafe(Unsafe.ReadUnaligned<ulong>(in bytes.Slice(at, 8)[0])).AsByte());

    // 5042 / 65536 is a thirteenth, near enough for whole quotients of all sums (at most 13 * 255 + 6).
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<uint> Blend(Vector128<uint> sum, Vector128<uint> centre, int weight)
    {
        Vector128<int> smooth = ((sum * 5042) >> 16).AsInt32();
        Vector128<int> half = Vector128.Create(1 << (ValueTable.FactorBits - 1));
        Vector128<int> value = smooth + ((((centre.AsInt32() - smooth) * weight) + half) >> ValueTable.FactorBits);
        return Vector128.Min(Vector128.Max(value, Vector128<int>.Zero), Vector128.Create(255)).AsUInt32();
    }
}
