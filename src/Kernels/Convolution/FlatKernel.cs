using System.Runtime.Intrinsics.X86;

namespace DistTrain.Kernels;

/// <summary>
/// Runs a <see cref="FlatPlan"/>: an item is a band of rows of one image and group. Targets of a tile of channels are computed into a
/// stripe of flat positions that stays in the first-level cache, then written out row by row through the activation.
/// </summary>
internal unsafe struct FlatKernel<TActivation> : ISimdKernel where TActivation : unmanaged, IUnaryOperator
{
    /// <summary>Taps from which on a tile takes long enough for prefetched lines to arrive.</summary>
    private const int TapsToPrefetch = 64;

    public FlatPlan Plan;
    public FlatWeights Weights;
    public ScratchSlots Slots;
    public float* Target;
    public float* Source;

    /// <summary>One a target channel, or null.</summary>
    public float* Bias;

    /// <summary>Floats of work memory that an item needs.</summary>
    public static long SlotElementCount(in FlatPlan plan) => plan.SourceElementCount + ((long)FlatWeights.WidestTile * plan.Stripe);

    public readonly void Run<V>(int item) where V : unmanaged, ISimd<V>
    {
        (int plane, int band) = Math.DivRem(item, Plan.BandCount);
        int firstRow = band * Plan.BandRows;
        float* flat = Slots.Take(out int slot);
        FlatSource.Fill<V>(Plan, flat, Source + ((long)plane * Plan.SourceChannels * Plan.SourceHeight * Plan.SourceWidth), firstRow);
        for (int lattice = 0; lattice < Plan.LatticeCount; lattice++) RunLattice<V>(plane, lattice, firstRow, flat);
        Slots.Return(slot);
    }

    private readonly void RunLattice<V>(int plane, int lattice, int firstRow, float* flat) where V : unmanaged, ISimd<V>
    {
        (int latticeRow, int latticeColumn) = Math.DivRem(lattice, Plan.LatticeWidth);
        int rows = Math.Min(Plan.BandRows, FlatPlan.LatticeExtent(Plan.TargetHeight, latticeRow, Plan.LatticeHeight) - firstRow);
        int columns = FlatPlan.LatticeExtent(Plan.TargetWidth, latticeColumn, Plan.LatticeWidth);
        if (rows <= 0 || columns == 0) return;
        int group = plane % Plan.Groups, positions = ((rows - 1) * Plan.Pitch) + columns;
        float* stripes = flat + Plan.SourceElementCount;
        float* bias = stackalloc float[FlatWeights.WidestTile];
        long targetPlane = (long)Plan.TargetHeight * Plan.TargetWidth;
        float* target = Target + ((long)plane * Plan.TargetChannels * targetPlane) +
            ((((long)firstRow * Plan.LatticeHeight) + latticeRow) * Plan.TargetWidth) + latticeColumn;
        int channel = 0;
        while (channel < Plan.TargetChannels)
        {
            int width = Weights.TileWidth(channel), count = Math.Min(width, Plan.TargetChannels - channel);
            for (int c = 0; c < width; c++) bias[c] = Bias != null && c < count ? Bias[(group * Plan.TargetChannels) + channel + c] : 0f;
            if (Plan.LatticeCount == 1 && Weights.TapCount(lattice) >= TapsToPrefetch) Prefetch(target + (channel * targetPlane), count, rows * Plan.TargetWidth);
            RunTile<V>(width, flat, lattice, Weights.Tile(group, lattice, channel), bias, stripes, positions);
            for (int c = 0; c < count; c++, channel++) WriteRows<V>(target + (channel * targetPlane), stripes + ((long)c * Plan.Stripe), rows, columns);
        }
    }

    /// <summary>Asks for the cache lines that the tile will be written to, while it is computed.</summary>
    private readonly void Prefetch(float* target, int channels, int count)
    {
        if (!Sse.IsSupported) return;
        for (int c = 0; c < channels; c++, target += (long)Plan.TargetHeight * Plan.TargetWidth)
        {
            for (int i = 0; i < count; i += 16) Sse.Prefetch1(target + i);
        }
    }

    private readonly void RunTile<V>(int width, float* flat, int lattice, float* weights, float* bias, float* stripes, int positions)
        where V : unmanaged, ISimd<V>
    {
        int* offsets = Weights.SourceOffsets(lattice);
        int taps = Weights.TapCount(lattice), p = 0;
        nint stripe = Plan.Stripe;
        // One test a width: the compiler drops the tile shapes that this vector width doesn't use.
        if (width == 1)
        {
            for (; p <= positions - (6 * V.Count) + V.Count - 1; p += 6 * V.Count) FlatTiles.Tile1X6<V>(flat + p, offsets, taps, weights, bias[0], stripes + p);
            for (; p < positions; p += V.Count) FlatTiles.Tile1X1<V>(flat + p, offsets, taps, weights, bias[0], stripes + p);
        }
        else if (V.Count == 16)
        {
            for (; p <= positions - (2 * V.Count) - 1; p += 3 * V.Count) FlatTiles.Tile8X3<V>(flat + p, offsets, taps, weights, bias, stripes + p, stripe);
            if (p < positions - V.Count)
            {
                FlatTiles.Tile8X2<V>(flat + p, offsets, taps, weights, bias, stripes + p, stripe);
                p += 2 * V.Count;
            }
            if (p < positions) FlatTiles.Tile8X1<V>(flat + p, offsets, taps, weights, bias, stripes + p, stripe);
        }
        else
        {
            for (; p <= positions - (2 * V.Count) - 1; p += 3 * V.Count) FlatTiles.Tile4X3<V>(flat + p, offsets, taps, weights, bias, stripes + p, stripe);
            for (; p < positions; p += V.Count) FlatTiles.Tile4X1<V>(flat + p, offsets, taps, weights, bias, stripes + p, stripe);
        }
    }

    private readonly void WriteRows<V>(float* target, float* stripe, int rows, int columns) where V : unmanaged, ISimd<V>
    {
        long pitch = (long)Plan.TargetWidth * Plan.LatticeHeight;
        for (int r = 0; r < rows; r++, target += pitch, stripe += Plan.Pitch)
        {
            if (Plan.LatticeWidth == 1) FlatRows.Write<V, TActivation>(target, stripe, columns);
            else FlatRows.Scatter(target, stripe, columns, Plan.LatticeWidth);
        }
    }
}
