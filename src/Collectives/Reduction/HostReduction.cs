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
            default: DivideHalves(dtype, (ushort*)values, count, divisor); break;
        }
    }

    private static void Divide<T>(T* values, long count, int divisor) where T : unmanaged, INumber<T>
    {
        T by = T.CreateTruncating(divisor);
        Vector<T> divisors = new(by);
        long i = 0;
        for (; i + Vector<T>.Count <= count; i += Vector<T>.Count) Unsafe.WriteUnaligned(values + i, Load(values + i) / divisors);
        for (; i < count; i++) values[i] /= by;
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

    // Any number of sources, four vectors of each at a time: sums of the tree's left parts wait in memory that stays in the first cache, the newest sum in registers.
    private static long RunTree<T, TOperator>(ReadOnlySpan<nint> destinations, ReadOnlySpan<nint> sources, long count, int divisor)
        where T : unmanaged, INumber<T> where TOperator : struct, IReduceOperator<T>
    {
        Vector<T>* parts = stackalloc Vector<T>[4 * LargestDepth];
        Vector<T> divisors = new(T.CreateTruncating(divisor));
        long i = 0;
        for (int width = Vector<T>.Count; i + (4 * width) <= count; i += 4 * width)
        {
            Vector<T>* top = parts;
            Vector<T> a = default, b = default, c = default, d = default;
            for (int s = 0; s < sources.Length; s++)
            {
                T* from = (T*)sources[s] + i;
                (a, b, c, d) = (Load(from), Load(from + width), Load(from + (2 * width)), Load(from + (3 * width)));
                for (int carry = s; (carry & 1) != 0; carry >>= 1)
                {
                    top -= 4;
                    (a, b, c, d) = (TOperator.Apply(top[0], a), TOperator.Apply(top[1], b), TOperator.Apply(top[2], c), TOperator.Apply(top[3], d));
                }
                if (s == sources.Length - 1) break;
                (top[0], top[1], top[2], top[3]) = (a, b, c, d);
                top += 4;
            }
            while (top > parts)
            {
                top -= 4;
                (a, b, c, d) = (TOperator.Apply(top[0], a), TOperator.Apply(top[1], b), TOperator.Apply(top[2], c), TOperator.Apply(top[3], d));
            }
            if (divisor > 1) (a, b, c, d) = (a / divisors, b / divisors, c / divisors, d / divisors);
            foreach (nint destination in destinations) Store((T*)destination + i, a, b, c, d);
        }
        return RunTreeEnd<T, TOperator>(destinations, sources, count, divisor, i);
    }

    // What is left behind the last four vectors: one at a time.
    private static long RunTreeEnd<T, TOperator>(ReadOnlySpan<nint> destinations, ReadOnlySpan<nint> sources, long count, int divisor, long i)
        where T : unmanaged, INumber<T> where TOperator : struct, IReduceOperator<T>
    {
        Vector<T>* parts = stackalloc Vector<T>[LargestDepth];
        for (; i + Vector<T>.Count <= count; i += Vector<T>.Count)
        {
            int depth = 0;
            for (int s = 0; s < sources.Length; s++)
            {
                parts[depth++] = Load((T*)sources[s] + i);
                for (int carry = s; (carry & 1) != 0; carry >>= 1, depth--) parts[depth - 2] = TOperator.Apply(parts[depth - 2], parts[depth - 1]);
            }
            for (; depth > 1; depth--) parts[depth - 2] = TOperator.Apply(parts[depth - 2], parts[depth - 1]);
            Vector<T> sum = divisor > 1 ? parts[0] / new Vector<T>(T.CreateTruncating(divisor)) : parts[0];
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
        ushort* narrow = stackalloc ushort[HalfBlock];
        float[] blocks = System.Buffers.ArrayPool<float>.Shared.Rent(HalfBlock * sources.Length);
        Span<nint> from = stackalloc nint[sources.Length], to = [(nint)wide];
        fixed (float* first = blocks)
        {
            for (int s = 0; s < sources.Length; s++) from[s] = (nint)(first + (s * HalfBlock));
            for (long at = 0; at < count; at += HalfBlock)
            {
                int length = (int)Math.Min(HalfBlock, count - at);
                for (int s = 0; s < sources.Length; s++) HostConversion.Widen(dtype, new ReadOnlySpan<ushort>((ushort*)sources[s] + at, length), new Span<float>((float*)from[s], length));
                Reduce<float>(op, to, from, length, sources.Length);
                HostConversion.Narrow(dtype, new ReadOnlySpan<float>(wide, length), new Span<ushort>(narrow, length));
                foreach (nint destination in destinations) new ReadOnlySpan<ushort>(narrow, length).CopyTo(new Span<ushort>((ushort*)destination + at, length));
            }
        }
        System.Buffers.ArrayPool<float>.Shared.Return(blocks);
    }

    private static void DivideHalves(DType dtype, ushort* values, long count, int divisor)
    {
        float* wide = stackalloc float[HalfBlock];
        for (long at = 0; at < count; at += HalfBlock)
        {
            int length = (int)Math.Min(HalfBlock, count - at);
            Span<ushort> block = new(values + at, length);
            HostConversion.Widen(dtype, block, new Span<float>(wide, length));
            Divide(wide, length, divisor);
            HostConversion.Narrow(dtype, new ReadOnlySpan<float>(wide, length), block);
        }
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
