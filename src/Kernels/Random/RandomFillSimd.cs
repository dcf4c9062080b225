using System.Runtime.CompilerServices;

namespace DistTrain.Kernels;

/// <summary>Words and numbers by vectors, over a buffer that stays in the first-level cache.</summary>
internal static unsafe class RandomFillSimd
{
    private const int ElementsAtOnce = 1_024;

    public static void Fill(CpuDevice cpu, Tensor output, RandomRule rule, RandomStream random)
    {
        FillKernel kernel = new() { Output = (float*)output.Pointer, Tiles = new SampleTiles(output.Shape), Rule = rule, Random = random };
        cpu.Run(kernel, kernel.Tiles.ItemCount);
    }

    private struct FillKernel : ISimdKernel
    {
        public float* Output;
        public SampleTiles Tiles;
        public RandomRule Rule;
        public RandomStream Random;

        public readonly void Run<V>(int item) where V : unmanaged, ISimd<V>
        {
            uint* words = stackalloc uint[ElementsAtOnce + (4 * PhiloxSimd.MostCountersAtOnce)];
            (long sample, long lastSample, long first, long last) = Tiles.Of(item);
            for (; sample < lastSample; sample++)
            {
                for (long start = first; start < last; start += ElementsAtOnce)
                {
                    int count = (int)Math.Min(ElementsAtOnce, last - start);
                    PhiloxSimd.Words<V>(Random, sample, (uint)(start / 4), (count + 3) / 4, words);
                    float* output = Output + (sample * Tiles.SampleLength) + start;
                    if (Rule.IsNormal == 0) Uniform<V>(words, output, count);
                    else Normal<V>(words, output, count);
                }
            }
        }

        private readonly void Uniform<V>(uint* words, float* output, int count) where V : unmanaged, ISimd<V>
        {
            V offset = V.Broadcast(Rule.Offset), scale = V.Broadcast(Rule.Scale);
            int i = 0;
            for (; i <= count - V.Count; i += V.Count) V.Store(V.MultiplyAdd(V.LoadFractions(words + i), scale, offset), output + i);
            if (i < count) V.StorePartial(V.MultiplyAdd(V.LoadFractions(words + i), scale, offset), output + i, count - i);
        }

        /// <summary>Both words of a pair are laid out for both of its lanes; odd lanes take the cosine a quarter turn back, which is the sine.</summary>
        private readonly void Normal<V>(uint* words, float* output, int count) where V : unmanaged, ISimd<V>
        {
            float* radii = stackalloc float[V.Count];
            float* turns = stackalloc float[V.Count];
            for (int i = 0; i < count; i += V.Count)
            {
                for (int lane = 0; lane < V.Count; lane += 2)
                {
                    radii[lane] = radii[lane + 1] = 1f - Philox.Fraction(words[i + lane]);
                    turns[lane] = Philox.Fraction(words[i + lane + 1]);
                    turns[lane + 1] = turns[lane] - 0.25f;
                }
                V radius = Radius(V.Load(radii));
                // The angle is a turn less π: the cosine's sign changes.
                V number = V.MultiplyAdd(V.Broadcast(-Rule.Scale) * radius, CosineOfTurns(V.Load(turns)), V.Broadcast(Rule.Offset));
                if (count - i >= V.Count) V.Store(number, output + i);
                else V.StorePartial(number, output + i, count - i);
            }
        }

        private static V Radius<V>(V fraction) where V : unmanaged, ISimd<V> => V.Sqrt(V.Broadcast(-2f) * SimdMath.Log(fraction));

        /// <summary>cos(2πt) within 2e-7 for |t| ≤ 1: t is reduced exactly to |t| ≤ 1/4 by half turns, then the series up to the twelfth power.</summary>
        [MethodImpl(MethodImplOptions.NoInlining)]
        private static V CosineOfTurns<V>(V turns) where V : unmanaged, ISimd<V>
        {
            V halves = V.Round(turns + turns), rest = V.MultiplyAdd(halves, V.Broadcast(-0.5f), turns);
            V angle = V.Broadcast(6.28318531f) * rest, z = angle * angle;
            V p = V.MultiplyAdd(z, V.Broadcast(1f / 479_001_600f), V.Broadcast(-1f / 3_628_800f));
            p = V.MultiplyAdd(p, z, V.Broadcast(1f / 40_320f));
            p = V.MultiplyAdd(p, z, V.Broadcast(-1f / 720f));
            p = V.MultiplyAdd(p, z, V.Broadcast(1f / 24f));
            p = V.MultiplyAdd(p, z, V.Broadcast(-0.5f));
            p = V.MultiplyAdd(p, z, V.Broadcast(1f));
            return V.Select(V.EqualTo(V.Abs(halves), V.Broadcast(1f)), -p, p);
        }
    }
}
