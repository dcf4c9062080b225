namespace DistTrain.Kernels;

/// <summary>
/// Adds the blocks of a weight gradient in ascending order and writes them as OIHW: an item is a tile of taps of one group, or, after those,
/// one group's biases.
/// </summary>
internal unsafe struct WeightGradientSum : ISimdKernel
{
    public WeightGradientPlan Plan;
    public float* Weight;

    /// <summary>Null if no bias gradient is wanted.</summary>
    public float* Bias;
    public float* Sums;
    public float* BiasSums;
    public bool Accumulate;

    public readonly int ItemCount => Plan.Geometry.Groups * (TilesOfGroup + (Bias == null ? 0 : 1));

    private readonly int TilesOfGroup => Plan.ChunkCount * (Plan.ChunkTaps / WeightGradientPlan.TileTaps);

    public readonly void Run<V>(int item) where V : unmanaged, ISimd<V>
    {
        int tiles = Plan.Geometry.Groups * TilesOfGroup;
        if (item >= tiles) WriteBias(item - tiles);
        else WriteTaps<V>(item / TilesOfGroup, item % TilesOfGroup);
    }

    private readonly void WriteTaps<V>(int group, int tile) where V : unmanaged, ISimd<V>
    {
        ConvolutionGeometry g = Plan.Geometry;
        (int chunk, int tileOfChunk) = Math.DivRem(tile, Plan.ChunkTaps / WeightGradientPlan.TileTaps);
        int firstOfChunk = tileOfChunk * WeightGradientPlan.TileTaps;
        int firstTap = (chunk * Plan.ChunkChannels * g.KernelPlane) + firstOfChunk;
        int endTap = Math.Min(g.TapCount, (Math.Min(g.InputChannels, (chunk + 1) * Plan.ChunkChannels)) * g.KernelPlane);
        long blockStride = g.Groups * Plan.ChunkCount * Plan.SumElementCount;
        float* sums = Sums + (((group * Plan.ChunkCount) + chunk) * Plan.SumElementCount) + ((long)firstOfChunk * Plan.PaddedOutputs);
        float* lanes = stackalloc float[16];
        for (int tap = firstTap; tap < Math.Min(endTap, firstTap + WeightGradientPlan.TileTaps); tap++, sums += Plan.PaddedOutputs)
        {
            for (int o = 0; o < g.OutputChannels; o += V.Count)
            {
                V sum = V.Load(sums + o);
                for (int block = 1; block < Plan.BlockCount; block++) sum += V.Load(sums + o + (block * blockStride));
                V.Store(sum, lanes);
                float* weight = Weight + ((((long)group * g.OutputChannels) + o) * g.TapCount) + tap;
                for (int lane = 0; lane < Math.Min(V.Count, g.OutputChannels - o); lane++, weight += g.TapCount)
                    *weight = Accumulate ? *weight + lanes[lane] : lanes[lane];
            }
        }
    }

    private readonly void WriteBias(int group)
    {
        ConvolutionGeometry g = Plan.Geometry;
        for (int o = 0; o < g.OutputChannels; o++)
        {
            float sum = 0f;
            for (int block = 0; block < Plan.BlockCount; block++) sum += BiasSums[((((long)block * g.Groups) + group) * Plan.PaddedOutputs) + o];
            float* bias = Bias + (group * g.OutputChannels) + o;
            *bias = Accumulate ? *bias + sum : sum;
        }
    }
}
