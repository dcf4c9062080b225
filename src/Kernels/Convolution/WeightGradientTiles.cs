namespace DistTrain.Kernels;

/// <summary>
/// The innermost loops of the weight gradient: 6 taps by vectors of output channels, kept in registers over the pixels of a band. The input
/// element that a tap reads is broadcast; gradients lie as [pixel][output channel]. Each sum is one chain of fused multiply-adds.
/// </summary>
internal static unsafe class WeightGradientTiles
{
    /// <summary>What the loops of one band have in common.</summary>
    public struct Band
    {
        public int Rows, Columns;

        /// <summary>Floats from one output column's input to the next, and from the end of an output row to the start of the next.</summary>
        public int Step, RowSkip;

        /// <summary>Floats from a pixel's gradients to the next pixel's, and from a tap's sums to the next tap's.</summary>
        public int Pitch;
    }

    /// <summary>4 vectors of output channels.</summary>
    public static void Tile6X4<V>(float* input, int* offsets, float* gradients, float* sums, in Band band) where V : unmanaged, ISimd<V>
    {
        float* p0 = input + offsets[0], p1 = input + offsets[1], p2 = input + offsets[2];
        float* p3 = input + offsets[3], p4 = input + offsets[4], p5 = input + offsets[5];
        nint i = 0, pitch = band.Pitch, step = band.Step;
        float* s0 = sums, s1 = s0 + pitch, s2 = s1 + pitch, s3 = s2 + pitch, s4 = s3 + pitch, s5 = s4 + pitch;
        V a0 = V.Load(s0), a1 = V.Load(s0 + V.Count), a2 = V.Load(s0 + (2 * V.Count)), a3 = V.Load(s0 + (3 * V.Count));
        V b0 = V.Load(s1), b1 = V.Load(s1 + V.Count), b2 = V.Load(s1 + (2 * V.Count)), b3 = V.Load(s1 + (3 * V.Count));
        V c0 = V.Load(s2), c1 = V.Load(s2 + V.Count), c2 = V.Load(s2 + (2 * V.Count)), c3 = V.Load(s2 + (3 * V.Count));
        V d0 = V.Load(s3), d1 = V.Load(s3 + V.Count), d2 = V.Load(s3 + (2 * V.Count)), d3 = V.Load(s3 + (3 * V.Count));
        V e0 = V.Load(s4), e1 = V.Load(s4 + V.Count), e2 = V.Load(s4 + (2 * V.Count)), e3 = V.Load(s4 + (3 * V.Count));
        V f0 = V.Load(s5), f1 = V.Load(s5 + V.Count), f2 = V.Load(s5 + (2 * V.Count)), f3 = V.Load(s5 + (3 * V.Count));
        for (int row = 0; row < band.Rows; row++, i += band.RowSkip)
        {
            for (int column = band.Columns; column > 0; column--, i += step, gradients += pitch)
            {
                V g0 = V.Load(gradients), g1 = V.Load(gradients + V.Count), g2 = V.Load(gradients + (2 * V.Count)), g3 = V.Load(gradients + (3 * V.Count));
                V x = V.Broadcast(p0[i]);
                a0 = V.MultiplyAdd(x, g0, a0); a1 = V.MultiplyAdd(x, g1, a1); a2 = V.MultiplyAdd(x, g2, a2); a3 = V.MultiplyAdd(x, g3, a3);
                x = V.Broadcast(p1[i]);
                b0 = V.MultiplyAdd(x, g0, b0); b1 = V.MultiplyAdd(x, g1, b1); b2 = V.MultiplyAdd(x, g2, b2); b3 = V.MultiplyAdd(x, g3, b3);
                x = V.Broadcast(p2[i]);
                c0 = V.MultiplyAdd(x, g0, c0); c1 = V.MultiplyAdd(x, g1, c1); c2 = V.MultiplyAdd(x, g2, c2); c3 = V.MultiplyAdd(x, g3, c3);
                x = V.Broadcast(p3[i]);
                d0 = V.MultiplyAdd(x, g0, d0); d1 = V.MultiplyAdd(x, g1, d1); d2 = V.MultiplyAdd(x, g2, d2); d3 = V.MultiplyAdd(x, g3, d3);
                x = V.Broadcast(p4[i]);
                e0 = V.MultiplyAdd(x, g0, e0); e1 = V.MultiplyAdd(x, g1, e1); e2 = V.MultiplyAdd(x, g2, e2); e3 = V.MultiplyAdd(x, g3, e3);
                x = V.Broadcast(p5[i]);
                f0 = V.MultiplyAdd(x, g0, f0); f1 = V.MultiplyAdd(x, g1, f1); f2 = V.MultiplyAdd(x, g2, f2); f3 = V.MultiplyAdd(x, g3, f3);
            }
        }
        Store(s0, a0, a1); Store(s0 + (2 * V.Count), a2, a3); Store(s1, b0, b1); Store(s1 + (2 * V.Count), b2, b3);
        Store(s2, c0, c1); Store(s2 + (2 * V.Count), c2, c3); Store(s3, d0, d1); Store(s3 + (2 * V.Count), d2, d3);
        Store(s4, e0, e1); Store(s4 + (2 * V.Count), e2, e3); Store(s5, f0, f1); Store(s5 + (2 * V.Count), f2, f3);
    }

    /// <summary>2 vectors of output channels.</summary>
    public static void Tile6X2<V>(float* input, int* offsets, float* gradients, float* sums, in Band band) where V : unmanaged, ISimd<V>
    {
        float* p0 = input + offsets[0], p1 = input + offsets[1], p2 = input + offsets[2];
        float* p3 = input + offsets[3], p4 = input + offsets[4], p5 = input + offsets[5];
        nint i = 0, pitch = band.Pitch, step = band.Step;
        float* s0 = sums, s1 = s0 + pitch, s2 = s1 + pitch, s3 = s2 + pitch, s4 = s3 + pitch, s5 = s4 + pitch;
        V a0 = V.Load(s0), a1 = V.Load(s0 + V.Count), b0 = V.Load(s1), b1 = V.Load(s1 + V.Count), c0 = V.Load(s2), c1 = V.Load(s2 + V.Count);
        V d0 = V.Load(s3), d1 = V.Load(s3 + V.Count), e0 = V.Load(s4), e1 = V.Load(s4 + V.Count), f0 = V.Load(s5), f1 = V.Load(s5 + V.Count);
        for (int row = 0; row < band.Rows; row++, i += band.RowSkip)
        {
            for (int column = band.Columns; column > 0; column--, i += step, gradients += pitch)
            {
                V g0 = V.Load(gradients), g1 = V.Load(gradients + V.Count);
                V x = V.Broadcast(p0[i]);
                a0 = V.MultiplyAdd(x, g0, a0); a1 = V.MultiplyAdd(x, g1, a1);
                x = V.Broadcast(p1[i]);
                b0 = V.MultiplyAdd(x, g0, b0); b1 = V.MultiplyAdd(x, g1, b1);
                x = V.Broadcast(p2[i]);
                c0 = V.MultiplyAdd(x, g0, c0); c1 = V.MultiplyAdd(x, g1, c1);
                x = V.Broadcast(p3[i]);
                d0 = V.MultiplyAdd(x, g0, d0); d1 = V.MultiplyAdd(x, g1, d1);
                x = V.Broadcast(p4[i]);
                e0 = V.MultiplyAdd(x, g0, e0); e1 = V.MultiplyAdd(x, g1, e1);
                x = V.Broadcast(p5[i]);
                f0 = V.MultiplyAdd(x, g0, f0); f1 = V.MultiplyAdd(x, g1, f1);
            }
        }
        Store(s0, a0, a1); Store(s1, b0, b1); Store(s2, c0, c1); Store(s3, d0, d1); Store(s4, e0, e1); Store(s5, f0, f1);
    }

    /// <summary>1 vector of output channels.</summary>
    public static void Tile6X1<V>(float* input, int* offsets, float* gradients, float* sums, in Band band) where V : unmanaged, ISimd<V>
    {
        float* p0 = input + offsets[0], p1 = input + offsets[1], p2 = input + offsets[2];
        float* p3 = input + offsets[3], p4 = input + offsets[4], p5 = input + offsets[5];
        nint i = 0, pitch = band.Pitch, step = band.Step;
        float* s0 = sums, s1 = s0 + pitch, s2 = s1 + pitch, s3 = s2 + pitch, s4 = s3 + pitch, s5 = s4 + pitch;
        V a = V.Load(s0), b = V.Load(s1), c = V.Load(s2), d = V.Load(s3), e = V.Load(s4), f = V.Load(s5);
        for (int row = 0; row < band.Rows; row++, i += band.RowSkip)
        {
            for (int column = band.Columns; column > 0; column--, i += step, gradients += pitch)
            {
                V g = V.Load(gradients);
                a = V.MultiplyAdd(V.Broadcast(p0[i]), g, a);
                b = V.MultiplyAdd(V.Broadcast(p1[i]), g, b);
                c = V.MultiplyAdd(V.Broadcast(p2[i]), g, c);
                d = V.MultiplyAdd(V.Broadcast(p3[i]), g, d);
                e = V.MultiplyAdd(V.Broadcast(p4[i]), g, e);
                f = V.MultiplyAdd(V.Broadcast(p5[i]), g, f);
            }
        }
        V.Store(a, s0); V.Store(b, s1); V.Store(c, s2); V.Store(d, s3); V.Store(e, s4); V.Store(f, s5);
    }

    private static void Store<V>(float* target, V first, V second) where V : unmanaged, ISimd<V>
    {
        V.Store(first, target);
        V.Store(second, target + V.Count);
    }
}
