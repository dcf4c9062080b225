using System.Runtime.InteropServices;

namespace DistTrain.Kernels;

/// <summary>
/// The sums of a weight gradient for groups of few output channels (depthwise above all), where vectors run over pixels instead: each tap's
/// gradient is the dot product of the flat source, shifted, with the gradients laid out flat, zeros between their rows. An item is a block of
/// images and a group. Blocks and bands depend on sizes alone, so sums have one order for any number of threads.
/// </summary>
internal unsafe struct NarrowWeightGradient : ISimdKernel
{
    private const int BlockLimit = 32;

    /// <summary>Laid for one thread, so that bands depend on sizes only.</summary>
    public FlatPlan Plan;
    public ScratchSlots Slots;
    public int BlockCount;
    public int* Offsets;
    public float* Input;
    public float* Gradients;

    /// <summary>[block][group][output channel][tap].</summary>
    public float* Sums;

    /// <summary>[block][group][output channel].</summary>
    public float* BiasSums;

    public readonly int ItemCount => BlockCount * Plan.Groups;

    public static long SlotElementCount(in FlatPlan plan) => plan.SourceElementCount + ((long)plan.TargetChannels * plan.Stripe);

    public static int BlockCountOf(in FlatPlan plan) => Math.Clamp(plan.BatchCount, 1, BlockLimit);

    public readonly void Run<V>(int item) where V : unmanaged, ISimd<V>
    {
        (int block, int group) = Math.DivRem(item, Plan.Groups);
        float* sums = Sums + ((long)item * Plan.TargetChannels * Plan.TapCount), biasSums = BiasSums + ((long)item * Plan.TargetChannels);
        NativeMemory.Clear(sums, (nuint)(Plan.TargetChannels * (long)Plan.TapCount) * sizeof(float));
        new Span<float>(biasSums, Plan.TargetChannels).Clear();
        float* flat = Slots.Take(out int slot);
        int end = (int)((block + 1L) * Plan.BatchCount / BlockCount);
        for (int image = (int)((long)block * Plan.BatchCount / BlockCount); image < end; image++)
        {
            for (int row = 0; row < Plan.TargetHeight; row += Plan.BandRows)
                RunBand<V>(((long)image * Plan.Groups) + group, row, flat, sums, biasSums);
        }
        Slots.Return(slot);
    }

    private readonly void RunBand<V>(long plane, int firstRow, float* flat, float* sums, float* biasSums) where V : unmanaged, ISimd<V>
    {
        FlatSource.Fill<V>(Plan, flat, Input + (plane * Plan.SourceChannels * Plan.SourceHeight * Plan.SourceWidth), firstRow);
        int rows = Math.Min(Plan.BandRows, Plan.TargetHeight - firstRow), positions = ((rows - 1) * Plan.Pitch) + Plan.TargetWidth;
        float* stripe = flat + Plan.SourceElementCount;
        for (int o = 0; o < Plan.TargetChannels; o++, stripe += Plan.Stripe)
        {
            float* gradients = Gradients + ((((plane * Plan.TargetChannels) + o) * Plan.TargetHeight) + firstRow) * Plan.TargetWidth;
            NativeMemory.Clear(stripe, (nuint)Plan.Stripe * sizeof(float));
            for (int r = 0; r < rows; r++)
                FlatRows.Write<V, IdentityOperator>(stripe + (r * Plan.Pitch), gradients + ((long)r * Plan.TargetWidth), Plan.TargetWidth);
            int tap = 0;
            float* tapSums = sums + ((long)o * Plan.TapCount);
            for (; tap <= Plan.TapCount - 8; tap += 8) Dot8<V>(flat, Offsets + tap, stripe, positions, tapSums + tap);
            for (; tap < Plan.TapCount; tap++) Dot1<V>(flat + Offsets[tap], stripe, positions, tapSums + tap);
            biasSums[o] += Sum<V>(stripe, positions);
        }
    }

    /// <summary>Eight taps at once, so that gradients are loaded once for them.</summary>
    private static void Dot8<V>(float* flat, int* offsets, float* stripe, int positions, float* sums) where V : unmanaged, ISimd<V>
    {
        float* p0 = flat + offsets[0], p1 = flat + offsets[1], p2 = flat + offsets[2], p3 = flat + offsets[3];
        float* p4 = flat + offsets[4], p5 = flat + offsets[5], p6 = flat + offsets[6], p7 = flat + offsets[7];
        V a = V.Zero, b = a, c = a, d = a, e = a, f = a, g = a, h = a;
        for (nint i = 0; i < positions; i += V.Count)
        {
            V x = V.Load(stripe + i);
            a = V.MultiplyAdd(V.Load(p0 + i), x, a);
            b = V.MultiplyAdd(V.Load(p1 + i), x, b);
            c = V.MultiplyAdd(V.Load(p2 + i), x, c);
            d = V.MultiplyAdd(V.Load(p3 + i), x, d);
            e = V.MultiplyAdd(V.Load(p4 + i), x, e);
            f = V.MultiplyAdd(V.Load(p5 + i), x, f);
            g = V.MultiplyAdd(V.Load(p6 + i), x, g);
            h = V.MultiplyAdd(V.Load(p7 + i), x, h);
        }
        sums[0] += V.Sum(a); sums[1] += V.Sum(b); sums[2] += V.Sum(c); sums[3] += V.Sum(d);
        sums[4] += V.Sum(e); sums[5] += V.Sum(f); sums[6] += V.Sum(g); sums[7] += V.Sum(h);
    }

    private static void Dot1<V>(float* shifted, float* stripe, int positions, float* sum) where V : unmanaged, ISimd<V>
    {
        V a = V.Zero;
        for (nint i = 0; i < positions; i += V.Count) a = V.MultiplyAdd(V.Load(shifted + i), V.Load(stripe + i), a);
        *sum += V.Sum(a);
    }

    private static float Sum<V>(float* stripe, int positions) where V : unmanaged, ISimd<V>
    {
        V a = V.Zero;
        for (nint i = 0; i < positions; i += V.Count) a += V.Load(stripe + i);
        return V.Sum(a);
    }
}

/// <summary>Adds the blocks of <see cref="NarrowWeightGradient"/> in ascending order: an item is a group.</summary>
internal unsafe struct NarrowWeightGradientSum : ISimdKernel
{
    public NarrowWeightGradient Blocks;
    public float* Weight;

    /// <summary>Null if no bias gradient is wanted.</summary>
    public float* Bias;
    public bool Accumulate;

    public readonly void Run<V>(int group) where V : unmanaged, ISimd<V>
    {
        int outputs = Blocks.Plan.TargetChannels;
        Add(Weight, Blocks.Sums, group, (long)outputs * Blocks.Plan.TapCount);
        if (Bias != null) Add(Bias, Blocks.BiasSums, group, outputs);
    }

    private readonly void Add(float* result, float* sums, int group, long count)
    {
        result += group * count;
        sums += group * count;
        for (long i = 0; i < count; i++)
        {
            float sum = sums[i];
            for (int block = 1; block < Blocks.BlockCount; block++) sum += sums[i + (block * Blocks.Plan.Groups * count)];
            result[i] = Accumulate ? result[i] + sum : sum;
        }
    }
}
