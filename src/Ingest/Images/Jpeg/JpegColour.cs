using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace DistTrain.Ingest;

/// <summary>What the components of a JPEG file stand for.</summary>
internal enum JpegColourSpace
{
    Grey,
    Rgb,
    YCbCr,
    Cmyk,
    Ycck,
}

/// <summary>
/// Component rows to pixels. YCbCr as in JFIF (ITU-R BT.601, full range), in integers with 16 bits of fraction, rounding half up: libjpeg's values.
/// Files with four components are inks; with Adobe's marker they are stored inverted. Red is (1 - cyan) * (1 - black), and so on, as image libraries
/// have it who know no ink profile.
/// </summary>
internal static unsafe class JpegColour
{
    private const int RedOfCr = (int)((1.40200 * 65536) + 0.5), GreenOfCb = (int)((0.34414 * 65536) + 0.5);
    private const int GreenOfCr = (int)((0.71414 * 65536) + 0.5), BlueOfCb = (int)((1.77200 * 65536) + 0.5);

    /// <summary>YCbCr to red, green, blue, 16 pixels at a time; reads up to 15 samples beyond <paramref name="width"/>.</summary>
    internal static void FromYCbCr(byte* luma, byte* cb, byte* cr, int width, byte* output)
    {
        byte* rest = stackalloc byte[48];
        for (int i = 0; i < width; i += 16, output += 48)
        {
            bool isWhole = i + 16 <= width;
            Convert16(luma + i, cb + i, cr + i, isWhole ? output : rest);
            if (!isWhole) Unsafe.CopyBlockUnaligned(output, rest, (uint)(3 * (width - i)));
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Convert16(byte* luma, byte* cb, byte* cr, byte* output)
    {
        Rgb8(luma, cb, cr, out Vector256<int> r0, out Vector256<int> g0, out Vector256<int> b0);
        Rgb8(luma + 8, cb + 8, cr + 8, out Vector256<int> r1, out Vector256<int> g1, out Vector256<int> b1);
        Interleave(Bytes(r0, r1), Bytes(g0, g1), Bytes(b0, b1), output);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Rgb8(byte* luma, byte* cb, byte* cr, out Vector256<int> red, out Vector256<int> green, out Vector256<int> blue)
    {
        Vector256<int> half = Vector256.Create(1 << 15), middle = Vector256.Create(128);
        Vector256<int> y = Widen(luma), u = Widen(cb) - middle, v = Widen(cr) - middle;
        red = y + (((v * RedOfCr) + half) >> 16);
        green = y + ((half - (u * GreenOfCb) - (v * GreenOfCr)) >> 16);
        blue = y + (((u * BlueOfCb) + half) >> 16);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> Widen(byte* input)
    {
        Vector128<ushort> words = Vector128.WidenLower(Vector128.CreateScalarUnsafe(*(ulong*)input).AsByte());
        (Vector128<uint> low, Vector128<uint> high) = Vector128.Widen(words);
        return Vector256.Create(low, high).AsInt32();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<byte> Bytes(Vector256<int> low, Vector256<int> high)
    {
        Vector256<int> zero = Vector256<int>.Zero, most = Vector256.Create(255);
        Vector256<int> first = Vector256.Min(Vector256.Max(low, zero), most), second = Vector256.Min(Vector256.Max(high, zero), most);
        Vector128<ushort> left = Vector128.Narrow(first.GetLower().AsUInt32(), first.GetUpper().AsUInt32());
        Vector128<ushort> right = Vector128.Narrow(second.GetLower().AsUInt32(), second.GetUpper().AsUInt32());
        return Vector128.Narrow(left, right);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Interleave(Vector128<byte> r, Vector128<byte> g, Vector128<byte> b, byte* output)
    {
        // Indices beyond 15 give 0.
        const byte N = 255;
        Vector128<byte> first = Vector128.Shuffle(r, Vector128.Create(0, N, N, 1, N, N, 2, N, N, 3, N, N, 4, N, N, 5))
            | Vector128.Shuffle(g, Vector128.Create(N, 0, N, N, 1, N, N, 2, N, N, 3, N, N, 4, N, N))
            | Vector128.Shuffle(b, Vector128.Create(N, N, 0, N, N, 1, N, N, 2, N, N, 3, N, N, 4, N));
        Vector128<byte> second = Vector128.Shuffle(r, Vector128.Create(N, N, 6, N, N, 7, N, N, 8, N, N, 9, N, N, 10, N))
            | Vector128.Shuffle(g, Vector128.Create(5, N, N, 6, N, N, 7, N, N, 8, N, N, 9, N, N, 10))
            | Vector128.Shuffle(b, Vector128.Create(N, 5, N, N, 6, N, N, 7, N, N, 8, N, N, 9, N, N));
        Vector128<byte> third = Vector128.Shuffle(r, Vector128.Create(N, 11, N, N, 12, N, N, 13, N, N, 14, N, N, 15, N, N))
            | Vector128.Shuffle(g, Vector128.Create(N, N, 11, N, N, 12, N, N, 13, N, N, 14, N, N, 15, N))
            | Vector128.Shuffle(b, Vector128.Create(10, N, N, 11, N, N, 12, N, N, 13, N, N, 14, N, N, 15));
        first.Store(output);
        second.Store(output + 16);
        third.Store(output + 32);
    }

    internal static void FromRgb(byte* red, byte* green, byte* blue, int width, byte* output)
    {
        for (int i = 0; i < width; i++, output += 3)
        {
            output[0] = red[i];
            output[1] = green[i];
            output[2] = blue[i];
        }
    }

    /// <summary>
    /// Inks over pixels of three: <paramref name="output"/> holds the first three inks' complements (light) and leaves as red, green, blue.
    /// </summary>
    internal static void Darken(byte* output, byte* black, int width, bool isInverted)
    {
        for (int i = 0; i < width; i++, output += 3)
        {
            int light = isInverted ? black[i] : 255 - black[i];
            output[0] = Multiply(output[0], light);
            output[1] = Multiply(output[1], light);
            output[2] = Multiply(output[2], light);
        }
    }

    internal static void Invert(byte* output, int count)
    {
        for (int i = 0; i < count; i++) output[i] = (byte)~output[i];
    }

    // light - light * ink / 255, rounded to the nearest.
    private static byte Multiply(int complement, int light)
    {
        int product = ((255 - complement) * light) + 128;
        return (byte)(light - (((product >> 8) + product) >> 8));
    }
}
