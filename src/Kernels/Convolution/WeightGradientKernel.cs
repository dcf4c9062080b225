using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;

namespace DistTrain.Kernels;

/// <summary>
/// The sums of a weight gradient: an item is a block of images, a group and a chunk of input channels. Band by band, the input is copied with
/// its padding, the gradients are transposed to [pixel][output channel], and all taps are added up.
/// </summary>
internal unsafe struct WeightGradientKernel : ISimdKernel
{
    public WeightGradientPlan Plan;
    public ScratchSlots Slots;
    public int* Offsets;
    public float* Input;
    public float* Gradients;

    /// <summary>[item][tap][output channel], padded.</summary>
    public float* Sums;

    /// <summary>[block and group][output channel], padded; null if no bias gradient is wanted.</summary>
    public float* BiasSums;

    public static long SlotElementCount(in WeightGradientPlan plan) => plan.InputElementCount + (long)plan.GradientElementCount;

    public readonly void Run<V>(int item) where V : unmanaged, ISimd<V>
    {
        (int rest, int chunk) = Math.DivRem(item, Plan.ChunkCount);
        (int block, int group) = Math.DivRem(rest, Plan.Geometry.Groups);
        float* sums = Sums + (item * Plan.SumElementCount);
        float* biasSums = BiasSums == null || chunk > 0 ? null : BiasSums + ((long)rest * Plan.PaddedOutputs);
        NativeMemory.Clear(sums, (nuint)Plan.SumElementCount * sizeof(float));
        if (biasSums != null) new Span<float>(biasSums, Plan.PaddedOutputs).Clear();
        float* padded = Slots.Take(out int slot);
        int bands = (Plan.Geometry.OutputHeight + Plan.BandRows - 1) / Plan.BandRows;
        long end = (long)Plan.FirstImage(block + 1) * bands;
        for (long step = (long)Plan.FirstImage(block) * bands; step < end; step++)
        {
            float* next = step + 1 < end ? GradientsOf(step + 1, bands, group) : null;
            long plane = (step / bands * Plan.Geometry.Groups) + group;
            RunBand<V>(plane, chunk, (int)(step % bands) * Plan.BandRows, padded, sums, biasSums, next);
        }
        Slots.Return(slot);
    }

    /// <summary>The gradients of the group's first channel at a band; bands are counted through all images.</summary>
    private readonly float* GradientsOf(long step, int bands, int group) =>
        Gradients + (((step / bands * Plan.Geometry.Groups) + group) * Plan.Geometry.OutputChannels * Plan.Geometry.OutputPlane) +
        (step % bands * Plan.BandRows * Plan.Geometry.OutputWidth);

    /// <summary>Asks for a share of the next band's gradients, which lie in many short runs, while this band is added up.</summary>
    private readonly void Prefetch(float* next, int tap, int taps)
    {
        if (next == null || !Sse.IsSupported) return;
        int first = (int)((long)Plan.Geometry.OutputChannels * tap / taps);
        int end = (int)((long)Plan.Geometry.OutputChannels * Math.Min(taps, tap + WeightGradientPlan.TileTaps) / taps);
        for (int o = first; o < end; o++)
        {
            for (int i = 0; i < Plan.BandRows * Plan.Geometry.OutputWidth; i += 16) Sse.Prefetch1(next + ((long)o * Plan.Geometry.OutputPlane) + i);
        }
    }

    private readonly void RunBand<V>(long plane, int chunk, int firstRow, float* padded, float* sums, float* biasSums, float* next)
        where V : unmanaged, ISimd<V>
    {
        ConvolutionGeometry g = Plan.Geometry;
        int firstChannel = chunk * Plan.ChunkChannels, channels = Math.Min(Plan.ChunkChannels, g.InputChannels - firstChannel);
        int rows = Math.Min(Plan.BandRows, g.OutputHeight - firstRow);
        float* gradients = padded + Plan.InputElementCount;
        FillInput<V>(padded, Input + (((plane * g.InputChannels) + firstChannel) * g.InputPlane), firstRow, rows, channels);
        Transposition.ToPixels(
            gradients, Plan.PaddedOutputs, Gradients + (plane * g.OutputChannels * g.OutputPlane) + (firstRow * g.OutputWidth), g.OutputPlane,
            g.OutputChannels, rows * g.OutputWidth);
        if (biasSums != null) AddPixels<V>(biasSums, gradients, rows * g.OutputWidth);
        WeightGradientTiles.Band band = new()
        {
            Rows = rows, Columns = g.OutputWidth, Step = g.StrideWidth, Pitch = Plan.PaddedOutputs,
            RowSkip = (Plan.RowPitch * g.StrideHeight) - (g.OutputWidth * g.StrideWidth),
        };
        for (int tap = 0; tap < channels * g.KernelPlane; tap += WeightGradientPlan.TileTaps)
        {
            Prefetch(next, tap, channels * g.KernelPlane);
            RunTaps<V>(padded, Offsets + tap, gradients, sums + ((long)tap * Plan.PaddedOutputs), band);
        }
    }

    private static void RunTaps<V>(float* input, int* offsets, float* gradients, float* sums, in WeightGradientTiles.Band band)
        where V : unmanaged, ISimd<V>
    {
        int o = 0;
        // 24 sums need 32 registers.
        if (V.Count == 16)
        {
            for (; o <= band.Pitch - (4 * V.Count); o += 4 * V.Count) WeightGradientTiles.Tile6X4<V>(input, offsets, gradients + o, sums + o, band);
        }
        for (; o <= band.Pitch - (2 * V.Count); o += 2 * V.Count) WeightGradientTiles.Tile6X2<V>(input, offsets, gradients + o, sums + o, band);
        for (; o < band.Pitch; o += V.Count) WeightGradientTiles.Tile6X1<V>(input, offsets, gradients + o, sums + o, band);
    }

    private readonly void FillInput<V>(float* padded, float* channels, int firstRow, int rows, int count) where V : unmanaged, ISimd<V>
    {
        ConvolutionGeometry g = Plan.Geometry;
        int top = (firstRow * g.StrideHeight) - g.PaddingHeight, height = ((rows - 1) * g.StrideHeight) + g.KernelHeight;
        int first = Math.Max(0, -top), end = Math.Min(height, g.InputHeight - top);
        // A last chunk of fewer channels still repeats taps of planes beyond its own: they must hold numbers, whatever they are.
        NativeMemory.Clear(padded, (nuint)Plan.InputElementCount * sizeof(float));
        for (int c = 0; c < count; c++)
        {
            float* to = padded + ((long)c * Plan.PlaneStride) + g.PaddingWidth, from = channels + ((long)c * g.InputPlane);
            for (int r = first; r < end; r++)
                FlatRows.Write<V, IdentityOperator>(to + (r * Plan.RowPitch), from + ((long)(top + r) * g.InputWidth), g.InputWidth);
        }
    }

    private readonly void AddPixels<V>(float* sums, float* gradients, int pixels) where V : unmanaged, ISimd<V>
    {
        for (int o = 0; o < Plan.PaddedOutputs; o += V.Count)
        {
            V sum = V.Load(sums + o);
            for (int pixel = 0; pixel < pixels; pixel++) sum += V.Load(gradients + ((long)pixel * Plan.PaddedOutputs) + o);
            V.Store(sum, sums + o);
        }
    }
}
