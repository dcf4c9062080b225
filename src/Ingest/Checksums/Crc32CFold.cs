using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace DistTrain.Ingest;

/// <summary>Vectors of 16-byte lanes that are multiplied without carries.</summary>
internal interface IFold<TVector> where TVector : struct
{
    static abstract TVector Load(ref byte at);

    /// <summary>The first vector of the data, with the register's value so far added.</summary>
    static abstract TVector Start(uint register, ref byte at);

    static abstract TVector Repeat(Vector128<ulong> lane);

    /// <summary>The lanes of <paramref name="vector"/> times <paramref name="multiplier"/>, added to those of <paramref name="data"/>.</summary>
    static abstract TVector Fold(TVector vector, TVector multiplier, TVector data);

    /// <summary>All lanes folded into the last one.</summary>
    static abstract Vector128<ulong> Join(TVector vector);
}

/// <summary>Four lanes: AVX-512 with VPCLMULQDQ.</summary>
internal readonly struct Fold512 : IFold<Vector512<ulong>>
{
    internal static bool IsSupported => Pclmulqdq.V512.IsSupported && Avx512F.IsSupported && Fold256.IsSupported;

    // The last lane is where the others go to.
    private static readonly Vector512<ulong> s_toLastLane = Vector512.Create(
        Vector256.Create(Crc32CMultiplier.ByLanes(3), Crc32CMultiplier.ByLanes(2)), Vector256.Create(Crc32CMultiplier.ByLanes(1), default));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<ulong> Load(ref byte at) => Vector512.LoadUnsafe(ref at).AsUInt64();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<ulong> Start(uint register, ref byte at) => Load(ref at) ^ Vector512.CreateScalar((ulong)register);

    public static Vector512<ulong> Repeat(Vector128<ulong> lane) => Vector512.Create(Vector256.Create(lane, lane), Vector256.Create(lane, lane));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<ulong> Fold(Vector512<ulong> vector, Vector512<ulong> multiplier, Vector512<ulong> data) =>
        Pclmulqdq.V512.CarrylessMultiply(vector, multiplier, 0x00) ^ Pclmulqdq.V512.CarrylessMultiply(vector, multiplier, 0x11) ^ data;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<ulong> Join(Vector512<ulong> vector)
    {
        Vector512<ulong> toLast = s_toLastLane;
        Vector512<ulong> moved = Pclmulqdq.V512.CarrylessMultiply(vector, toLast, 0x00) ^ Pclmulqdq.V512.CarrylessMultiply(vector, toLast, 0x11);
        Vector256<ulong> half = moved.GetLower() ^ moved.GetUpper();
        return half.GetLower() ^ half.GetUpper() ^ vector.GetUpper().GetUpper();
    }
}

/// <summary>Two lanes: AVX2 with VPCLMULQDQ, on processors without AVX-512.</summary>
internal readonly struct Fold256 : IFold<Vector256<ulong>>
{
    internal static bool IsSupported => Pclmulqdq.V256.IsSupported && Avx2.IsSupported && Sse42.X64.IsSupported;

    private static readonly Vector128<ulong> s_toLastLane = Crc32CMultiplier.ByLanes(1);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<ulong> Load(ref byte at) => Vector256.LoadUnsafe(ref at).AsUInt64();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<ulong> Start(uint register, ref byte at) => Load(ref at) ^ Vector256.CreateScalar((ulong)register);

    public static Vector256<ulong> Repeat(Vector128<ulong> lane) => Vector256.Create(lane, lane);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<ulong> Fold(Vector256<ulong> vector, Vector256<ulong> multiplier, Vector256<ulong> data) =>
        Pclmulqdq.V256.CarrylessMultiply(vector, multiplier, 0x00) ^ Pclmulqdq.V256.CarrylessMultiply(vector, multiplier, 0x11) ^ data;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<ulong> Join(Vector256<ulong> vector)
    {
        Vector128<ulong> first = vector.GetLower(), toLast = s_toLastLane;
        return Pclmulqdq.CarrylessMultiply(first, toLast, 0x00) ^ Pclmulqdq.CarrylessMultiply(first, toLast, 0x11) ^ vector.GetUpper();
    }
}
