using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Arm = System.Runtime.Intrinsics.Arm;

namespace DistTrain.Ingest;

/// <summary>
/// CRC-32C (Castagnoli, reflected polynomial 0x82F63B78; RFC 3720 section 12.1 and appendix B.4): the checksum of TFRecord files. Uses
/// carry-less multiplication of vectors where there is one (VPCLMULQDQ, with AVX-512 or AVX2), else the processor's CRC instruction in three interleaved
/// streams (SSE4.2, ARMv8), else tables (slicing by 8). All ways give the same value.
/// </summary>
public static class Crc32C
{
    private const uint MaskDelta = 0xa282ead8;

    // Measured on Sapphire Rapids: from these lengths on, four vectors abreast beat what is said before them below.
    private const int LeastFold512 = 256, LeastFold256 = 128;

    // What the compiler knows of the processor is constant in the code it makes: these choices cost nothing.
    internal static Crc32CPath BestPath =>
        Fold512.IsSupported ? Crc32CPath.Fold512 : Fold256.IsSupported ? Crc32CPath.Fold256
        : Sse42.X64.IsSupported ? Crc32CPath.Sse42 : Arm.Crc32.Arm64.IsSupported ? Crc32CPath.Arm64 : Crc32CPath.Portable;

    /// <summary>The checksum of <paramref name="data"/>; 0 for no data.</summary>
    public static uint Compute(ReadOnlySpan<byte> data) => Append(0, data);

    /// <summary>The checksum of everything so far and <paramref name="data"/>, where <paramref name="crc"/> is that of everything so far.</summary>
    public static uint Append(uint crc, ReadOnlySpan<byte> data) => Append(BestPath, crc, data);

    /// <summary>
    /// The form in which record files store a checksum: ((crc >> 15) | (crc &lt;&lt; 17)) + 0xa282ead8, so that data that contain their own
    /// checksums are not a weak spot (TensorFlow, <c>lib/hash/crc32c.h</c>).
    /// </summary>
    public static uint Mask(uint crc) => unchecked(uint.RotateRight(crc, 15) + MaskDelta);

    /// <summary>The checksum of which <paramref name="masked"/> is the stored form.</summary>
    public static uint Unmask(uint masked) => uint.RotateLeft(unchecked(masked - MaskDelta), 15);

    /// <summary>The stored form of the checksum of <paramref name="data"/>.</summary>
    public static uint ComputeMasked(ReadOnlySpan<byte> data) => Mask(Compute(data));

    internal static bool IsSupported(Crc32CPath path) => path switch
    {
        Crc32CPath.Fold512 => Fold512.IsSupported,
        Crc32CPath.Fold256 => Fold256.IsSupported,
        Crc32CPath.Sse42 => Sse42.X64.IsSupported,
        Crc32CPath.Arm64 => Arm.Crc32.Arm64.IsSupported,
        _ => true,
    };

    /// <summary>The checksum of the 8 bytes of <paramref name="word"/>, lowest first: a record's length costs a nanosecond.</summary>
    internal static uint Compute(ulong word)
    {
        if (Sse42.X64.IsSupported) return ~(uint)Sse42Crc.Step(~0u, word);
        if (Arm.Crc32.Arm64.IsSupported) return ~(uint)Arm64Crc.Step(~0u, word);
        return ~Crc32CTables.Append(~0u, word);
    }

    // Inlined for what it is not: with the path known, one comparison of lengths is left.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static uint Append(Crc32CPath path, uint crc, ReadOnlySpan<byte> data) => ~(path switch
    {
        Crc32CPath.Fold512 when data.Length >= LeastFold512 => Crc32CFolding<Fold512, Vector512<ulong>>.Append(~crc, data),
        Crc32CPath.Fold512 or Crc32CPath.Fold256 when data.Length >= LeastFold256 => Crc32CFolding<Fold256, Vector256<ulong>>.Append(~crc, data),
        Crc32CPath.Fold512 or Crc32CPath.Fold256 => Crc32CStreams.AppendOne<Sse42Crc>(~crc, data),
        Crc32CPath.Sse42 => Crc32CStreams.Append<Sse42Crc>(~crc, data),
        Crc32CPath.Arm64 => Crc32CStreams.Append<Arm64Crc>(~crc, data),
        _ => Crc32CTables.Append(~crc, data),
    });
}

/// <summary>The ways to compute a CRC-32C, the fastest first.</summary>
internal enum Crc32CPath
{
    Fold512,
    Fold256,
    Sse42,
    Arm64,
    Portable,
}
