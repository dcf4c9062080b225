using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.Arm;
using System.Runtime.Intrinsics.X86;

namespace DistTrain.Kernels;

/// <summary>Transposes planes of pixels, channel by channel, into pixels of channels. Moves numbers only, so it serves every instruction set.</summary>
internal static unsafe class Transposition
{
    /// <summary>
    /// pixels[p * pitch + c] = planes[c * planeStride + p] for all channels c below <paramref name="channels"/>, and 0 for those up to
    /// <paramref name="pitch"/>.
    /// </summary>
    public static void ToPixels(float* pixels, int pitch, float* planes, int planeStride, int channels, int pixelCount)
    {
        int c = 0;
        if (Avx.IsSupported)
        {
            for (; c <= channels - 8; c += 8) Columns8(pixels + c, pitch, planes + ((long)c * planeStride), planeStride, pixelCount);
        }
        if (Sse.IsSupported || AdvSimd.Arm64.IsSupported)
        {
            for (; c <= channels - 4; c += 4) Columns4(pixels + c, pitch, planes + ((long)c * planeStride), planeStride, pixelCount);
        }
        for (; c < pitch; c++)
        {
            float* plane = planes + ((long)c * planeStride);
            for (int p = 0; p < pixelCount; p++) pixels[((long)p * pitch) + c] = c < channels ? plane[p] : 0f;
        }
    }

    private static void Columns8(float* pixels, int pitch, float* planes, long stride, int pixelCount)
    {
        int p = 0;
        for (; p <= pixelCount - 8; p += 8) Block8X8(pixels + ((long)p * pitch), pitch, planes + p, stride);
        for (; p < pixelCount; p++)
        {
            for (int c = 0; c < 8; c++) pixels[((long)p * pitch) + c] = planes[(c * stride) + p];
        }
    }

    private static void Columns4(float* pixels, int pitch, float* planes, long stride, int pixelCount)
    {
        int p = 0;
        for (; p <= pixelCount - 4; p += 4)
        {
            Vector128<float> a = Vector128.Load(planes + p), b = Vector128.Load(planes + stride + p);
            Vector128<float> c = Vector128.Load(planes + (2 * stride) + p), d = Vector128.Load(planes + (3 * stride) + p);
            float* to = pixels + ((long)p * pitch);
            // Two rounds of interleaving: a with c and b with d, then both results.
            Vector128<float> acLow = ZipLow(a, c), acHigh = ZipHigh(a, c), bdLow = ZipLow(b, d), bdHigh = ZipHigh(b, d);
            ZipLow(acLow, bdLow).Store(to);
            ZipHigh(acLow, bdLow).Store(to + pitch);
            ZipLow(acHigh, bdHigh).Store(to + (2 * pitch));
            ZipHigh(acHigh, bdHigh).Store(to + (3 * pitch));
        }
        for (; p < pixelCount; p++)
        {
            for (int c = 0; c < 4; c++) pixels[((long)p * pitch) + c] = planes[(c * stride) + p];
        }
    }

    /// <summary>Rows c and c + 4 share a register by halves; two rounds of shuffles within halves finish the transposition.</summary>
    private static void Block8X8(float* to, int pitch, float* from, long stride)
    {
        for (int half = 0; half < 2; half++, from += 4, to += 4 * (long)pitch)
        {
            Vector256<float> r0 = Rows(from, from + (4 * stride)), r1 = Rows(from + stride, from + (5 * stride));
            Vector256<float> r2 = Rows(from + (2 * stride), from + (6 * stride)), r3 = Rows(from + (3 * stride), from + (7 * stride));
            Vector256<float> t0 = Avx.UnpackLow(r0, r1), t1 = Avx.UnpackHigh(r0, r1), t2 = Avx.UnpackLow(r2, r3), t3 = Avx.UnpackHigh(r2, r3);
            Avx.Shuffle(t0, t2, 0x44).Store(to);
            Avx.Shuffle(t0, t2, 0xEE).Store(to + pitch);
            Avx.Shuffle(t1, t3, 0x44).Store(to + (2 * pitch));
            Avx.Shuffle(t1, t3, 0xEE).Store(to + (3 * pitch));
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> Rows(float* low, float* high) => Vector256.Create(Vector128.Load(low), Vector128.Load(high));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> ZipLow(Vector128<float> a, Vector128<float> b) =>
        Sse.IsSupported ? Sse.UnpackLow(a, b) : AdvSimd.Arm64.ZipLow(a, b);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> ZipHigh(Vector128<float> a, Vector128<float> b) =>
        Sse.IsSupported ? Sse.UnpackHigh(a, b) : AdvSimd.Arm64.ZipHigh(a, b);
}
