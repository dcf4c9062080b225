namespace DistTrain.Kernels;

/// <summary>Words, fractions, mask and product by vectors, over a buffer that stays in the first-level cache.</summary>
internal static unsafe class DropoutSimd
{
    private const int ElementsAtOnce = 1_024;

    public static void Run(CpuDevice cpu, Tensor output, Tensor input, float probability, float scale, RandomStream random)
    {
        MaskKernel kernel = new()
        {
            Output = (float*)output.Pointer,
            Input = (float*)input.Pointer,
            Tiles = new SampleTiles(output.Shape),
            Random = random,
            Probability = probability,
            Scale = scale,
        };
        cpu.Run(kernel, kernel.Tiles.ItemCount);
    }

    private struct MaskKernel : ISimdKernel
    {
        public float* Output, Input;
        public SampleTiles Tiles;
        public RandomStream Random;
        public float Probability, Scale;

        public readonly void Run<V>(int item) where V : unmanaged, ISimd<V>
        {
            uint* words = stackalloc uint[ElementsAtOnce + (4 * PhiloxSimd.MostCountersAtOnce)];
            (long sample, long lastSample, long first, long last) = Tiles.Of(item);
            for (; sample < lastSample; sample++)
            {
                for (long start = first; start < last; start += ElementsAtOnce)
                {
                    int count = (int)Math.Min(ElementsAtOnce, last - start);
                    long place = (sample * Tiles.SampleLength) + start;
                    PhiloxSimd.Words<V>(Random, sample, (uint)(start / 4), (count + 3) / 4, words);
                    Apply<V>(words, Output + place, Input + place, count);
                }
            }
        }

        private readonly void Apply<V>(uint* words, float* output, float* input, int count) where V : unmanaged, ISimd<V>
        {
            V probability = V.Broadcast(Probability), scale = V.Broadcast(Scale);
            int i = 0;
            for (; i <= count - V.Count; i += V.Count)
            {
                V isDropped = V.LessThan(V.LoadFractions(words + i), probability);
                V.Store(V.Load(input + i) * V.Select(isDropped, V.Zero, scale), output + i);
            }
            for (; i < count; i++) output[i] = input[i] * (Philox.Fraction(words[i]) < Probability ? 0f : Scale);
        }
    }
}
