using System.Buffers;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace DistTrain.Ingest;

/// <summary>
/// Bilinear resizing. When shrinking, the triangle that weighs the pixels is widened by the ratio, so that every source pixel counts (area
/// antialiasing); columns first, rounded to 8 bits in between: what Pillow calls BILINEAR, byte for byte. Weights are numbers of 22 bits fraction
/// computed by basic arithmetic: the same on every machine.
/// </summary>
public static class ImageResize
{
    private const int FractionBits = 22;

    /// <summary>A resized image; the caller owns and disposes it, and still owns <paramref name="image"/>.</summary>
    /// <param name="image">Any size.</param>
    /// <param name="height">Rows of the result.</param>
    /// <param name="width">Pixels in a row of the result.</param>
    /// <param name="pool">Where the result's memory comes from; null: <see cref="ImagePool.Shared"/>.</param>
    public static DecodedImage Resize(in DecodedImage image, int height, int width, ImagePool? pool = null)
    {
        ImageView source = image.View;
        DecodedImage result = (pool ?? ImagePool.Shared).Rent(height, width, image.Channels);
        Resize(source, ImageRegion.All(source), result.View);
        return result;
    }

    /// <summary>Fills <paramref name="destination"/> with a region of <paramref name="source"/>. Pixels outside the region don't count.</summary>
    /// <exception cref="ArgumentException">Different channels, or shared memory.</exception>
    /// <exception cref="ArgumentOutOfRangeException">A region that is not inside the source.</exception>
    public static void Resize(in ImageView source, in ImageRegion region, in ImageView destination)
    {
        region.CheckInside(source);
        if (source.Channels != destination.Channels)
            throw new ArgumentException($"{source.Channels} channels can't be resized into {destination.Channels}", nameof(destination));
        destination.CheckApart(source);
        int between = checked(region.Height * destination.RowByteCount);
        byte[] scratch = ArrayPool<byte>.Shared.Rent(between);
        try
        {
            ResizeColumns(source, region, scratch.AsSpan(0, between), destination.Width);
            ResizeRows(scratch.AsSpan(0, between), region.Height, destination);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(scratch);
        }
    }

    private static void ResizeColumns(in ImageView source, in ImageRegion region, Span<byte> output, int width)
    {
        int channels = source.Channels;
        using ResizeWeights weights = new(region.Width, width);
        byte[] padded = ArrayPool<byte>.Shared.Rent((region.Width * channels) + sizeof(uint));
        for (int row = 0; row < region.Height; row++)
        {
            ReadOnlySpan<byte> line = source.Row(region.Top + row).Slice(region.Left * channels, region.Width * channels);
            Span<byte> target = output.Slice(row * width * channels, width * channels);
            if (region.Width == width)
            {
                line.CopyTo(target);
            }
            else if (channels == 1)
            {
                SumGrey(line, target, weights);
            }
            else
            {
                line.CopyTo(padded);
                SumColours(padded, target, weights);
            }
        }
        ArrayPool<byte>.Shared.Return(padded);
    }

    private static void SumGrey(ReadOnlySpan<byte> line, Span<byte> target, in ResizeWeights weights)
    {
        for (int x = 0; x < target.Length; x++)
        {
            ReadOnlySpan<int> own = weights.Of(x, out int first);
            ReadOnlySpan<byte> pixels = line.Slice(first, own.Length);
            int sum = 1 << (FractionBits - 1);
            for (int i = 0; i < own.Length; i++) sum += own[i] * pixels[i];
            target[x] = Rounded(sum);
        }
    }

    // The channels of a pixel are three of four lanes; the fourth is the next pixel's first byte, which is there behind the line's last pixel too.
    private static void SumColours(ReadOnlySpan<byte> padded, Span<byte> target, in ResizeWeights weights)
    {
        ref byte pixels = ref MemoryMarshal.GetReference(padded);
        for (int x = 0; 3 * x < target.Length; x++)
        {
            ReadOnlySpan<int> own = weights.Of(x, out int first);
            ref byte pixel = ref Unsafe.Add(ref pixels, 3 * first);
            Vector128<int> sum = Vector128.Create(1 << (FractionBits - 1));
            for (int i = 0; i < own.Length; i++)
            {
                Vector128<byte> bytes = Vector128.CreateScalarUnsafe(Unsafe.ReadUnaligned<uint>(ref Unsafe.Add(ref pixel, 3 * i))).AsByte();
                sum += Vector128.WidenLower(Vector128.WidenLower(bytes)).AsInt32() * own[i];
            }
            Vector128<int> colours = Vector128.Min(sum >> FractionBits, Vector128.Create(255));
            target[3 * x] = (byte)colours.GetElement(0);
            target[(3 * x) + 1] = (byte)colours.GetElement(1);
            target[(3 * x) + 2] = (byte)colours.GetElement(2);
        }
    }

    // The weights of thousands of pixels may, each rounded, exceed 1 in sum.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static byte Rounded(int sum) => (byte)Math.Min(sum >> FractionBits, 255);

    private static void ResizeRows(ReadOnlySpan<byte> input, int height, in ImageView destination)
    {
        int length = destination.RowByteCount;
        using ResizeWeights weights = new(height, destination.Height);
        for (int row = 0; row < destination.Height; row++)
        {
            ReadOnlySpan<int> own = weights.Of(row, out int first);
            if (height == destination.Height) input.Slice(row * length, length).CopyTo(destination.Row(row));
            else SumRows(input.Slice(first * length, own.Length * length), own, destination.Row(row));
        }
    }

    private static void SumRows(ReadOnlySpan<byte> rows, ReadOnlySpan<int> weights, Span<byte> target)
    {
        int x = 0, length = target.Length;
        for (; x <= length - 16; x += 16)
        {
            Vector256<int> half = Vector256.Create(1 << (FractionBits - 1)), low = half, high = half;
            for (int i = 0; i < weights.Length; i++)
            {
                (Vector128<ushort> left, Vector128<ushort> right) = Vector128.Widen(Vector128.Create(rows.Slice((i * length) + x, 16)));
                low += Widen(left) * weights[i];
                high += Widen(right) * weights[i];
            }
            low = Vector256.Min(low >> FractionBits, Vector256.Create(255));
            high = Vector256.Min(high >> FractionBits, Vector256.Create(255));
            Vector128<ushort> first = Vector128.Narrow(low.GetLower().AsUInt32(), low.GetUpper().AsUInt32());
            Vector128<ushort> second = Vector128.Narrow(high.GetLower().AsUInt32(), high.GetUpper().AsUInt32());
            Vector128.Narrow(first, second).CopyTo(target[x..]);
        }
        for (; x < length; x++)
        {
            int sum = 1 << (FractionBits - 1);
            for (int i = 0; i < weights.Length; i++) sum += weights[i] * rows[(i * length) + x];
            target[x] = Rounded(sum);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> Widen(Vector128<ushort> words)
    {
        (Vector128<uint> low, Vector128<uint> high) = Vector128.Widen(words);
        return Vector256.Create(low, high).AsInt32();
    }

    /// <summary>Which source pixels make a pixel along one direction, and with what weights, in memory rented until disposal.</summary>
    private readonly ref struct ResizeWeights : IDisposable
    {
        private readonly int[] _rented;
        private readonly int _outputCount, _most;

        internal ResizeWeights(int inputCount, int outputCount)
        {
            _outputCount = outputCount;
            double ratio = (double)inputCount / outputCount, support = Math.Max(ratio, 1);
            _most = ((int)Math.Ceiling(support) * 2) + 1;
            _rented = ArrayPool<int>.Shared.Rent(checked(outputCount * (_most + 2)));
            for (int i = 0; i < outputCount; i++) Fill(i, (i + 0.5) * ratio, support, inputCount);
        }

        /// <summary>Weights of neighbouring pixels from <paramref name="first"/> on; their sum is about 1, which is 2^22.</summary>
        internal ReadOnlySpan<int> Of(int output, out int first)
        {
            first = _rented[2 * output];
            return _rented.AsSpan((2 * _outputCount) + (output * _most), _rented[(2 * output) + 1]);
        }

        public void Dispose() => ArrayPool<int>.Shared.Return(_rented);

        private void Fill(int output, double center, double support, int inputCount)
        {
            int first = Math.Max(0, (int)(center - support + 0.5)), end = Math.Min(inputCount, (int)(center + support + 0.5));
            Span<int> weights = _rented.AsSpan((2 * _outputCount) + (output * _most), end - first);
            double sum = 0, inverse = 1 / support;
            for (int i = 0; i < weights.Length; i++) sum += Triangle((i + first - center + 0.5) * inverse);
            for (int i = 0; i < weights.Length; i++)
                weights[i] = (int)(0.5 + (Triangle((i + first - center + 0.5) * inverse) * (1 / sum) * (1 << FractionBits)));
            _rented[2 * output] = first;
            _rented[(2 * output) + 1] = weights.Length;
        }

        private static double Triangle(double x) => Math.Max(0, 1 - Math.Abs(x));
    }
}
