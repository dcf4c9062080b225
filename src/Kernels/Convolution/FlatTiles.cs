using System.Runtime.CompilerServices;

namespace DistTrain.Kernels;

/// <summary>
/// The innermost loops: a tile of target channels by flat positions, kept in registers over all taps. Each element is one chain of fused
/// multiply-adds that starts at the bias and takes the taps in ascending order, in every tile shape and vector width: equal bits.
/// Weights lie as [tap][channel of the tile].
/// </summary>
internal static unsafe class FlatTiles
{
    /// <summary>8 channels by 3 vectors: 24 of 32 registers.</summary>
    public static void Tile8X3<V>(float* source, int* offsets, int tapCount, float* weights, float* bias, float* target, nint stripe)
        where V : unmanaged, ISimd<V>
    {
        V a0 = V.Broadcast(bias[0]), a1 = a0, a2 = a0, b0 = V.Broadcast(bias[1]), b1 = b0, b2 = b0;
        V c0 = V.Broadcast(bias[2]), c1 = c0, c2 = c0, d0 = V.Broadcast(bias[3]), d1 = d0, d2 = d0;
        V e0 = V.Broadcast(bias[4]), e1 = e0, e2 = e0, f0 = V.Broadcast(bias[5]), f1 = f0, f2 = f0;
        V g0 = V.Broadcast(bias[6]), g1 = g0, g2 = g0, h0 = V.Broadcast(bias[7]), h1 = h0, h2 = h0;
        for (int tap = 0; tap < tapCount; tap++, weights += 8)
        {
            float* s = source + offsets[tap];
            V s0 = V.Load(s), s1 = V.Load(s + V.Count), s2 = V.Load(s + (2 * V.Count));
            V w = V.Broadcast(weights[0]);
            a0 = V.MultiplyAdd(w, s0, a0); a1 = V.MultiplyAdd(w, s1, a1); a2 = V.MultiplyAdd(w, s2, a2);
            w = V.Broadcast(weights[1]);
            b0 = V.MultiplyAdd(w, s0, b0); b1 = V.MultiplyAdd(w, s1, b1); b2 = V.MultiplyAdd(w, s2, b2);
            w = V.Broadcast(weights[2]);
            c0 = V.MultiplyAdd(w, s0, c0); c1 = V.MultiplyAdd(w, s1, c1); c2 = V.MultiplyAdd(w, s2, c2);
            w = V.Broadcast(weights[3]);
            d0 = V.MultiplyAdd(w, s0, d0); d1 = V.MultiplyAdd(w, s1, d1); d2 = V.MultiplyAdd(w, s2, d2);
            w = V.Broadcast(weights[4]);
            e0 = V.MultiplyAdd(w, s0, e0); e1 = V.MultiplyAdd(w, s1, e1); e2 = V.MultiplyAdd(w, s2, e2);
            w = V.Broadcast(weights[5]);
            f0 = V.MultiplyAdd(w, s0, f0); f1 = V.MultiplyAdd(w, s1, f1); f2 = V.MultiplyAdd(w, s2, f2);
            w = V.Broadcast(weights[6]);
            g0 = V.MultiplyAdd(w, s0, g0); g1 = V.MultiplyAdd(w, s1, g1); g2 = V.MultiplyAdd(w, s2, g2);
            w = V.Broadcast(weights[7]);
            h0 = V.MultiplyAdd(w, s0, h0); h1 = V.MultiplyAdd(w, s1, h1); h2 = V.MultiplyAdd(w, s2, h2);
        }
        Store(target, a0, a1, a2); Store(target + stripe, b0, b1, b2);
        Store(target + (2 * stripe), c0, c1, c2); Store(target + (3 * stripe), d0, d1, d2);
        Store(target + (4 * stripe), e0, e1, e2); Store(target + (5 * stripe), f0, f1, f2);
        Store(target + (6 * stripe), g0, g1, g2); Store(target + (7 * stripe), h0, h1, h2);
    }

    /// <summary>8 channels by 2 vectors: what three vectors leave over.</summary>
    public static void Tile8X2<V>(float* source, int* offsets, int tapCount, float* weights, float* bias, float* target, nint stripe)
        where V : unmanaged, ISimd<V>
    {
        V a0 = V.Broadcast(bias[0]), a1 = a0, b0 = V.Broadcast(bias[1]), b1 = b0, c0 = V.Broadcast(bias[2]), c1 = c0;
        V d0 = V.Broadcast(bias[3]), d1 = d0, e0 = V.Broadcast(bias[4]), e1 = e0, f0 = V.Broadcast(bias[5]), f1 = f0;
        V g0 = V.Broadcast(bias[6]), g1 = g0, h0 = V.Broadcast(bias[7]), h1 = h0;
        for (int tap = 0; tap < tapCount; tap++, weights += 8)
        {
            float* s = source + offsets[tap];
            V s0 = V.Load(s), s1 = V.Load(s + V.Count);
            V w = V.Broadcast(weights[0]);
            a0 = V.MultiplyAdd(w, s0, a0); a1 = V.MultiplyAdd(w, s1, a1);
            w = V.Broadcast(weights[1]);
            b0 = V.MultiplyAdd(w, s0, b0); b1 = V.MultiplyAdd(w, s1, b1);
            w = V.Broadcast(weights[2]);
            c0 = V.MultiplyAdd(w, s0, c0); c1 = V.MultiplyAdd(w, s1, c1);
            w = V.Broadcast(weights[3]);
            d0 = V.MultiplyAdd(w, s0, d0); d1 = V.MultiplyAdd(w, s1, d1);
            w = V.Broadcast(weights[4]);
            e0 = V.MultiplyAdd(w, s0, e0); e1 = V.MultiplyAdd(w, s1, e1);
            w = V.Broadcast(weights[5]);
            f0 = V.MultiplyAdd(w, s0, f0); f1 = V.MultiplyAdd(w, s1, f1);
            w = V.Broadcast(weights[6]);
            g0 = V.MultiplyAdd(w, s0, g0); g1 = V.MultiplyAdd(w, s1, g1);
            w = V.Broadcast(weights[7]);
            h0 = V.MultiplyAdd(w, s0, h0); h1 = V.MultiplyAdd(w, s1, h1);
        }
        Store(target, a0, a1); Store(target + stripe, b0, b1); Store(target + (2 * stripe), c0, c1); Store(target + (3 * stripe), d0, d1);
        Store(target + (4 * stripe), e0, e1); Store(target + (5 * stripe), f0, f1);
        Store(target + (6 * stripe), g0, g1); Store(target + (7 * stripe), h0, h1);
    }

    /// <summary>8 channels by 1 vector.</summary>
    public static void Tile8X1<V>(float* source, int* offsets, int tapCount, float* weights, float* bias, float* target, nint stripe)
        where V : unmanaged, ISimd<V>
    {
        V a = V.Broadcast(bias[0]), b = V.Broadcast(bias[1]), c = V.Broadcast(bias[2]), d = V.Broadcast(bias[3]);
        V e = V.Broadcast(bias[4]), f = V.Broadcast(bias[5]), g = V.Broadcast(bias[6]), h = V.Broadcast(bias[7]);
        for (int tap = 0; tap < tapCount; tap++, weights += 8)
        {
            V s = V.Load(source + offsets[tap]);
            a = V.MultiplyAdd(V.Broadcast(weights[0]), s, a);
            b = V.MultiplyAdd(V.Broadcast(weights[1]), s, b);
            c = V.MultiplyAdd(V.Broadcast(weights[2]), s, c);
            d = V.MultiplyAdd(V.Broadcast(weights[3]), s, d);
            e = V.MultiplyAdd(V.Broadcast(weights[4]), s, e);
            f = V.MultiplyAdd(V.Broadcast(weights[5]), s, f);
            g = V.MultiplyAdd(V.Broadcast(weights[6]), s, g);
            h = V.MultiplyAdd(V.Broadcast(weights[7]), s, h);
        }
        V.Store(a, target); V.Store(b, target + stripe); V.Store(c, target + (2 * stripe)); V.Store(d, target + (3 * stripe));
        V.Store(e, target + (4 * stripe)); V.Store(f, target + (5 * stripe)); V.Store(g, target + (6 * stripe)); V.Store(h, target + (7 * stripe));
    }

    /// <summary>4 channels by 3 vectors: 12 of 16 registers.</summary>
    public static void Tile4X3<V>(float* source, int* offsets, int tapCount, float* weights, float* bias, float* target, nint stripe)
        where V : unmanaged, ISimd<V>
    {
        V a0 = V.Broadcast(bias[0]), a1 = a0, a2 = a0, b0 = V.Broadcast(bias[1]), b1 = b0, b2 = b0;
        V c0 = V.Broadcast(bias[2]), c1 = c0, c2 = c0, d0 = V.Broadcast(bias[3]), d1 = d0, d2 = d0;
        for (int tap = 0; tap < tapCount; tap++, weights += 4)
        {
            float* s = source + offsets[tap];
            V s0 = V.Load(s), s1 = V.Load(s + V.Count), s2 = V.Load(s + (2 * V.Count));
            V w = V.Broadcast(weights[0]);
            a0 = V.MultiplyAdd(w, s0, a0); a1 = V.MultiplyAdd(w, s1, a1); a2 = V.MultiplyAdd(w, s2, a2);
            w = V.Broadcast(weights[1]);
            b0 = V.MultiplyAdd(w, s0, b0); b1 = V.MultiplyAdd(w, s1, b1); b2 = V.MultiplyAdd(w, s2, b2);
            w = V.Broadcast(weights[2]);
            c0 = V.MultiplyAdd(w, s0, c0); c1 = V.MultiplyAdd(w, s1, c1); c2 = V.MultiplyAdd(w, s2, c2);
            w = V.Broadcast(weights[3]);
            d0 = V.MultiplyAdd(w, s0, d0); d1 = V.MultiplyAdd(w, s1, d1); d2 = V.MultiplyAdd(w, s2, d2);
        }
        Store(target, a0, a1, a2); Store(target + stripe, b0, b1, b2);
        Store(target + (2 * stripe), c0, c1, c2); Store(target + (3 * stripe), d0, d1, d2);
    }

    /// <summary>4 channels by 1 vector.</summary>
    public static void Tile4X1<V>(float* source, int* offsets, int tapCount, float* weights, float* bias, float* target, nint stripe)
        where V : unmanaged, ISimd<V>
    {
        V a = V.Broadcast(bias[0]), b = V.Broadcast(bias[1]), c = V.Broadcast(bias[2]), d = V.Broadcast(bias[3]);
        for (int tap = 0; tap < tapCount; tap++, weights += 4)
        {
            V s = V.Load(source + offsets[tap]);
            a = V.MultiplyAdd(V.Broadcast(weights[0]), s, a);
            b = V.MultiplyAdd(V.Broadcast(weights[1]), s, b);
            c = V.MultiplyAdd(V.Broadcast(weights[2]), s, c);
            d = V.MultiplyAdd(V.Broadcast(weights[3]), s, d);
        }
        V.Store(a, target); V.Store(b, target + stripe); V.Store(c, target + (2 * stripe)); V.Store(d, target + (3 * stripe));
    }

    /// <summary>1 channel by 6 vectors: groups of few channels, depthwise above all.</summary>
    public static void Tile1X6<V>(float* source, int* offsets, int tapCount, float* weights, float bias, float* target) where V : unmanaged, ISimd<V>
    {
        V a = V.Broadcast(bias), b = a, c = a, d = a, e = a, f = a;
        for (int tap = 0; tap < tapCount; tap++)
        {
            float* s = source + offsets[tap];
            V w = V.Broadcast(weights[tap]);
            a = V.MultiplyAdd(w, V.Load(s), a);
            b = V.MultiplyAdd(w, V.Load(s + V.Count), b);
            c = V.MultiplyAdd(w, V.Load(s + (2 * V.Count)), c);
            d = V.MultiplyAdd(w, V.Load(s + (3 * V.Count)), d);
            e = V.MultiplyAdd(w, V.Load(s + (4 * V.Count)), e);
            f = V.MultiplyAdd(w, V.Load(s + (5 * V.Count)), f);
        }
        Store(target, a, b, c);
        Store(target + (3 * V.Count), d, e, f);
    }

    /// <summary>1 channel by 1 vector.</summary>
    public static void Tile1X1<V>(float* source, int* offsets, int tapCount, float* weights, float bias, float* target) where V : unmanaged, ISimd<V>
    {
        V a = V.Broadcast(bias);
        for (int tap = 0; tap < tapCount; tap++) a = V.MultiplyAdd(V.Broadcast(weights[tap]), V.Load(source + offsets[tap]), a);
        V.Store(a, target);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store<V>(float* target, V first, V second) where V : unmanaged, ISimd<V>
    {
        V.Store(first, target);
        V.Store(second, target + V.Count);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store<V>(float* target, V first, V second, V third) where V : unmanaged, ISimd<V>
    {
        V.Store(first, target);
        V.Store(second, target + V.Count);
        V.Store(third, target + (2 * V.Count));
    }
}
