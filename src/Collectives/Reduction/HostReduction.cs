using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using DistTrain.Kernels;

namespace DistTrain.Collectives;

/// <summary>
/// Reductions of host memory, any number of sources into any number of destinations, along the tree of <see cref="FixedTree"/>: the managed twin of the shim's kernels, with the same bits.
/// Nothing needs alignment. A destination may be exactly a source.
/// </summary>
internal static unsafe class HostReduction
{
    private const int LargestDepth = 8, HalfBlock = 512;

    /// <summary>destination[d][i] = source[0][i] op ... op source[n - 1][i]; <see cref="ReduceOp.Average"/> is the sum divided by n.</summary>
    internal static void Reduce(DType dtype, ReduceOp op, ReadOnlySpan<nint> destinations, ReadOnlySpan<nint> sources, long count)
    {
        if (count <= 0) return;
        switch (dtype)
        {
            case DType.F32: Reduce<float>(op, destinations, sources, count, sources.Length); break;
            case DType.F64: Reduce<double>(op, destinations, sources, count, sources.Length); break;
            case DType.I32: Reduce<int>(op, destinations, sources, count, sources.Length); break;
            case DType.I64: Reduce<long>(op, destinations, sources, count, sources.Length); break;
            default: ReduceHalves(dtype, op, destinations, sources, count); break;
        }
    }

    /// <summary>values[i] /= divisor, as an average's last step; for averages that were summed otherwise.</summary>
    internal static void Divide(DType dtype, nint values, long count, int divisor)
    {
        switch (dtype)
        {
            case DType.F32: Divide((float*)values, count, divisor); break;
            case DType.F64: Divide((double*)values, count, divisor); break;
            case DType.I32: Divide((int*)values, count, divisor); break;
            case DType.I64: Divide((long*)values, count, divisor); break;
            default:
                for (long i = 0; i < count; i++) ((ushort*)values)[i] = Narrow(dtype, Widen(dtype, ((ushort*)values)[i]) / divisor);
                break;
        }
    }

    private static void Divide<T>(T* values, long count, int divisor) where T : unmanaged, INumber<T>
    {
        for (long i = 0; i < count; i++) values[i] /= T.CreateTruncating(divisor);
    }

    private static void Reduce<T>(ReduceOp op, ReadOnlySpan<nint> destinations, ReadOnlySpan<nint> sources, long count, int divisor) where T : unmanaged, INumber<T>
    {
        switch (op)
        {
            case ReduceOp.Product: Run<T, ProductOperator<T>>(destinations, sources, count, 1); break;
            case ReduceOp.Min: Run<T, MinOperator<T>>(destinations, sources, count, 1); break;
            case ReduceOp.Max: Run<T, MaxOperator<T>>(destinations, sources, count, 1); break;
            default: Run<T, SumOperator<T>>(destinations, sources, count, op == ReduceOp.Average ? divisor : 1); break;
        }
    }

    private static void Run<T, TOperator>(ReadOnlySpan<nint> destinations, ReadOnlySpan<nint> sources, long count, int divisor)
        where T : unmanaged, INumber<T> where TOperator : struct, IReduceOperator<T>
    {
        long done = sources.Length == 2 && divisor == 1 && destinations.Length <= 2 ? RunPair<T, TOperator>(destinations, sources, count)
            : RunTree<T, TOperator>(destinations, sources, count, divisor);
        T* parts = stackalloc T[LargestDepth];
        for (; done < count; done++)
        {
            T sum = Tree<T, TOperator>(sources, done, parts);
            if (divisor > 1) sum /= T.CreateTruncating(divisor);
            foreach (nint destination in destinations) ((T*)destination)[done] = sum;
        }
    }

    // Two replicas are the usual case: several vectors at a time, both copies stored.
    private static long RunPair<T, TOperator>(ReadOnlySpan<nint> destinations, ReadOnlySpan<nint> sources, long count) where T : unmanaged where TOperator : struct, IReduceOperator<T>
    {
        T* left = (T*)sources[0], right = (T*)sources[1], first = (T*)destinations[0], second = (T*)destinations[^1];
        bool hasSecond = destinations.Length > 1;
        long i = 0;
        if (Vector512.IsHardwareAccelerated)
        {
            for (int width = Vector512<T>.Count; i + (2 * width) <= count; i += 2 * width)
            {
                Vector512<T> a = TOperator.Apply(Vector512.Load(left + i), Vector512.Load(right + i)), b = TOperator.Apply(Vector512.Load(left + i + width), Vector512.Load(right + i + width));
                a.Store(first + i);
                b.Store(first + i + width);
                if (!hasSecond) continue;
                a.Store(second + i);
                b.Store(second + i + width);
            }
        }
        for (int width = Vector<T>.Count; i + (4 * width) <= count; i += 4 * width)
        {
            Vector<T> a = TOperator.Apply(Load(left + i), Load(right + i)), b = TOperator.Apply(Load(left + i + width), Load(right + i + width));
            Vector<T> c = TOperator.Apply(Load(left + i + (2 * width)), Load(right + i + (2 * width))), d = TOperator.Apply(Load(left + i + (3 * width)), Load(right + i + (3 * width)));
            Store(first + i, a, b, c, d);
            if (hasSecond) Store(second + i, a, b, c, d);
        }
        return i;
    }

    private static long RunTree<T, TOperator>(ReadOnlySpan<nint> destinations, ReadOnlySpan<nint> sources, long count, int divisor)
        where T : unmanaged, INumber<T> where TOperator : struct, IReduceOperator<T>
    {
        Vector<T>* parts = stackalloc Vector<T>[LargestDepth];
        Vector<T> divisors = new(T.CreateTruncating(divisor));
        long i = 0;
        for (; i + Vector<T>.Count <= count; i += Vector<T>.Count)
        {
            int depth = 0;
            for (int s = 0; s < sources.Length; s++)
            {
                parts[depth++] = Load((T*)sources[s] + i);
                for (int carry = s; (carry & 1) != 0; carry >>= 1, depth--) parts[depth - 2] = TOperator.Apply(parts[depth - 2], parts[depth - 1]);
            }
            for (; depth > 1; depth--) parts[depth - 2] = TOperator.Apply(parts[depth - 2], parts[depth - 1]);
            Vector<T> sum = divisor > 1 ? parts[0] / divisors : parts[0];
            foreach (nint destination in destinations) Unsafe.WriteUnaligned((T*)destination + i, sum);
        }
        return i;
    }

    private static T Tree<T, TOperator>(ReadOnlySpan<nint> sources, long at, T* parts) where T : unmanaged where TOperator : struct, IReduceOperator<T>
    {
        int depth = 0;
        for (int s = 0; s < sources.Length; s++)
        {
            parts[depth++] = ((T*)sources[s])[at];
            for (int carry = s; (carry & 1) != 0; carry >>= 1, depth--) parts[depth - 2] = TOperator.Apply(parts[depth - 2], parts[depth - 1]);
        }
        for (; depth > 1; depth--) parts[depth - 2] = TOperator.Apply(parts[depth - 2], parts[depth - 1]);
        return parts[0];
    }

    // Widened a block at a time, computed in f32, rounded once.
    private static void ReduceHalves(DType dtype, ReduceOp op, ReadOnlySpan<nint> destinations, ReadOnlySpan<nint> sources, long count)
    {
        float* wide = stackalloc float[HalfBlock];
        float[] blocks = System.Buffers.ArrayPool<float>.Shared.Rent(HalfBlock * sources.Length);
        Span<nint> from = stackalloc nint[sources.Length], to = [(nint)wide];
        fixed (float* first = blocks)
        {
            for (int s = 0; s < sources.Length; s++) from[s] = (nint)(first + (s * HalfBlock));
            for (long at = 0; at < count; at += HalfBlock)
            {
                int length = (int)Math.Min(HalfBlock, count - at);
                for (int s = 0; s < sources.Length; s++) Widen(dtype, (ushort*)sources[s] + at, (float*)from[s], length);
                Reduce<float>(op, to, from, length, sources.Length);
                foreach (nint destination in destinations) Narrow(dtype, wide, (ushort*)destination + at, length);
            }
        }
        System.Buffers.ArrayPool<float>.Shared.Return(blocks);
    }

    private static void Widen(DType dtype, ushort* source, float* destination, int count)
    {
        int i = 0;
        if (dtype == DType.BF16)
        {
            for (; i <= count - Vector256<ushort>.Count; i += Vector256<ushort>.Count)
            {
                (Vector256<uint> lower, Vector256<uint> upper) = Vector256.Widen(Vector256.Load(source + i));
                (lower << 16).AsSingle().Store(destination + i);
                (upper << 16).AsSingle().Store(destination + i + Vector256<float>.Count);
            }
        }
        for (; i < count; i++) destination[i] = Widen(dtype, source[i]);
    }

    private static void Narrow(DType dtype, float* source, ushort* destination, int count)
    {
        int i = 0;
        if (dtype == DType.BF16)
        {
            for (; i <= count - Vector256<ushort>.Count; i += Vector256<ushort>.Count)
                Vector256.Narrow(NarrowBrain(Vector256.Load(source + i)), NarrowBrain(Vector256.Load(source + i + Vector256<float>.Count))).Store(destination + i);
        }
        for (; i < count; i++) destination[i] = Narrow(dtype, source[i]);
    }

    // As the scalar form below.
    private static Vector256<uint> NarrowBrain(Vector256<float> value)
    {
        Vector256<uint> bits = value.AsUInt32(), upper = bits >> 16;
        return Vector256.ConditionalSelect(Vector256.Equals(value, value).AsUInt32(), (bits + Vector256.Create(0x7FFFu) + (upper & Vector256<uint>.One)) >> 16, upper | Vector256.Create(0x40u));
    }

    private static float Widen(DType dtype, ushort bits) => dtype == DType.F16 ? (float)BitConverter.UInt16BitsToHalf(bits) : BitConverter.UInt32BitsToSingle((uint)bits << 16);

    // To the nearest, ties to even; a NaN stays one.
    private static ushort Narrow(DType dtype, float value)
    {
        if (dtype == DType.F16) return BitConverter.HalfToUInt16Bits((Half)value);
        uint bits = BitConverter.SingleToUInt32Bits(value);
        return float.IsNaN(value) ? (ushort)((bits >> 16) | 0x40) : (ushort)((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
    }

    private static Vector<T> Load<T>(T* from) where T : unmanaged => Unsafe.ReadUnaligned<Vector<T>>(from);

    private static void Store<T>(T* to, Vector<T> a, Vector<T> b, Vector<T> c, Vector<T> d) where T : unmanaged
    {
        int width = Vector<T>.Count;
        Unsafe.WriteUnaligned(to, a);
        Unsafe.WriteUnaligned(to + width, b);
        Unsafe.WriteUnaligned(to + (2 * width), c);
        Unsafe.WriteUnaligned(to + (3 * width), d);
    }
}
