using System.Runtime.Intrinsics.X86;
using Arm = System.Runtime.Intrinsics.Arm;

namespace DistTrain.Ingest;

/// <summary>
/// CRC-32C (Castagnoli, reflected polynomial 0x82F63B78; RFC 3720 section 12.1 and appendix B.4): the checksum of TFRecord files. Uses the processor's
/// CRC instructions in three interleaved streams where there are any (SSE4.2, ARMv8), else tables (slicing by 8). All ways give the same value.
/// </summary>
public static class Crc32C
{
    private const uint MaskDelta = 0xa282ead8;

    internal static Crc32CPath BestPath { get; } =
        Sse42.X64.IsSupported ? Crc32CPath.Sse42 : Arm.Crc32.Arm64.IsSupported ? Crc32CPath.Arm64 : Crc32CPath.Portable;

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
        Crc32CPath.Sse42 => Sse42.X64.IsSupported,
        Crc32CPath.Arm64 => Arm.Crc32.Arm64.IsSupported,
        _ => true,
    };

    internal static uint Append(Crc32CPath path, uint crc, ReadOnlySpan<byte> data) => ~(path switch
    {
        Crc32CPath.Sse42 => Crc32CStreams.Append<Sse42Crc>(~crc, data),
        Crc32CPath.Arm64 => Crc32CStreams.Append<Arm64Crc>(~crc, data),
        _ => Crc32CTables.Append(~crc, data),
    });
}

/// <summary>The ways to compute a CRC-32C.</summary>
internal enum Crc32CPath
{
    Portable,
    Sse42,
    Arm64,
}
