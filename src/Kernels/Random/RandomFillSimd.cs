namespace DistTrain.Kernels;

/// <summary>Words by vectors, numbers from them one by one: filling happens once, at the start of training.</summary>
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
                    Write(words, Output + (sample * Tiles.SampleLength) + start, count);
                }
            }
        }

        private readonly void Write(uint* words, float* output, int count)
        {
            if (Rule.IsNormal == 0)
            {
                for (int i = 0; i < count; i++) output[i] = Rule.Uniform(words[i]);
                return;
            }
            for (int i = 0; i < count; i++) output[i] = Rule.Number(((PhiloxBlock*)words)[i / 4], i % 4);
        }
    }
}
