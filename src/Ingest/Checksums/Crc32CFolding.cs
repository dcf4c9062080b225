using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace DistTrain.Ingest;

/// <summary>
/// CRC-32C by carry-less multiplication: data are a polynomial, and 16 bytes that lie d bits before others may be replaced by their remainder of x^d,
/// added to those others (V. Gopal et al., "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ Instruction", Intel, 2009). Four vectors
/// run abreast, which hides the multiplication's latency; what is left at the end goes through the CRC instruction.
/// </summary>
internal static class Crc32CFolding<TFold, TVector> where TFold : struct, IFold<TVector> where TVector : struct
{
    // By how many vectors each fold moves its operand on.
    private static readonly TVector s_one = Multiplier(1), s_two = Multiplier(2), s_three = Multiplier(3), s_four = Multiplier(4);

    // A vector that crosses cache lines costs a second look at the cache: a fifth of the speed, where the data come from beyond the first level.
    private const int LeastAligned = 1 << 14;

    /// <summary>Takes and gives the register's value. The data are no shorter than four vectors.</summary>
    internal static uint Append(uint register, ReadOnlySpan<byte> data)
    {
        int vector = Unsafe.SizeOf<TVector>();
        Debug.Assert(data.Length >= 4 * vector);
        ref byte next = ref MemoryMarshal.GetReference(data);
        nint left = data.Length;
        if (left >= LeastAligned)
        {
            nint ahead = AheadOfAligned(ref next);
            register = (uint)Crc32CStreams.AppendOne<Sse42Crc>(register, ref next, ahead);
            next = ref Unsafe.Add(ref next, ahead);
            left -= ahead;
        }
        TVector rest = FoldFour(register, ref next, left), one = s_one;
        next = ref Unsafe.Add(ref next, left & -(4 * vector));
        for (left &= (4 * vector) - 1; left >= vector; left -= vector, next = ref Unsafe.Add(ref next, vector))
            rest = TFold.Fold(rest, one, TFold.Load(ref next));
        Vector128<ulong> last = TFold.Join(rest);
        ulong remainder = Sse42.X64.Crc32(Sse42.X64.Crc32(0, last.ToScalar()), last.GetElement(1));
        return (uint)Crc32CStreams.AppendOne<Sse42Crc>(remainder, ref next, left);
    }

    // The collector may move the data meanwhile: then they are merely not aligned.
    private static unsafe nint AheadOfAligned(ref byte start) => -(nint)Unsafe.AsPointer(ref start) & (Unsafe.SizeOf<TVector>() - 1);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector FoldFour(uint register, ref byte start, nint byteCount)
    {
        int vector = Unsafe.SizeOf<TVector>();
        TVector a = TFold.Start(register, ref start), b = TFold.Load(ref Unsafe.Add(ref start, vector));
        TVector c = TFold.Load(ref Unsafe.Add(ref start, 2 * vector)), d = TFold.Load(ref Unsafe.Add(ref start, 3 * vector));
        TVector four = s_four;
        for (byteCount -= 4 * vector; byteCount >= 4 * vector; byteCount -= 4 * vector)
        {
            start = ref Unsafe.Add(ref start, 4 * vector);
            a = TFold.Fold(a, four, TFold.Load(ref start));
            b = TFold.Fold(b, four, TFold.Load(ref Unsafe.Add(ref start, vector)));
            c = TFold.Fold(c, four, TFold.Load(ref Unsafe.Add(ref start, 2 * vector)));
            d = TFold.Fold(d, four, TFold.Load(ref Unsafe.Add(ref start, 3 * vector)));
        }
        return TFold.Fold(a, s_three, TFold.Fold(b, s_two, TFold.Fold(c, s_one, d)));
    }

    private static TVector Multiplier(int vectorCount) =>
        TFold.Repeat(Crc32CMultiplier.ByLanes(vectorCount * Unsafe.SizeOf<TVector>() / Vector128<byte>.Count));
}
