namespace DistTrain.Kernels;

/// <summary>
/// How a weight gradient is cut, by sizes alone, so that sums have one order for any number of threads: blocks of images, each summed in
/// order into an array of its own, and chunks of input channels; at the end the blocks are added in order.
/// </summary>
internal struct WeightGradientPlan
{
    /// <summary>Taps of one tile.</summary>
    public const int TileTaps = 6;

    /// <summary>Blocks of images, and items, that are aimed at: enough for the cores of one machine.</summary>
    private const int BlockLimit = 32;

    /// <summary>Floats of all blocks' sums together.</summary>
    private const long SumElementLimit = 8 * 1024 * 1024;

    /// <summary>Floats of gradients, pixels by output channels, that stay in the first-level cache.</summary>
    private const int GradientElementLimit = 8 * 1024;

    public ConvolutionGeometry Geometry;
    public int BlockCount;

    /// <summary>Input channels of one chunk; the last may hold fewer.</summary>
    public int ChunkChannels;
    public int ChunkCount;

    /// <summary>Output channels of a group, rounded up to whole vectors.</summary>
    public int PaddedOutputs;

    /// <summary>Output rows worked on at once.</summary>
    public int BandRows;

    /// <summary>Floats of a padded input row and of a padded input plane of one band.</summary>
    public int RowPitch, PlaneStride;

    public readonly int ItemCount => BlockCount * Geometry.Groups * ChunkCount;

    /// <summary>Taps of a chunk, rounded up to whole tiles.</summary>
    public readonly int ChunkTaps => ((ChunkChannels * Geometry.KernelPlane) + TileTaps - 1) / TileTaps * TileTaps;

    /// <summary>Floats of the sums of one item.</summary>
    public readonly long SumElementCount => (long)ChunkTaps * PaddedOutputs;

    public readonly int InputElementCount => checked(ChunkChannels * PlaneStride) + 16;

    public readonly int GradientElementCount => BandRows * Geometry.OutputWidth * PaddedOutputs;

    public static WeightGradientPlan Of(in ConvolutionGeometry g, int vectorCount)
    {
        WeightGradientPlan plan = new() { Geometry = g, PaddedOutputs = (g.OutputChannels + vectorCount - 1) / vectorCount * vectorCount };
        long sumsOfBlock = Math.Max(1, (long)g.Groups * g.TapCount * plan.PaddedOutputs);
        plan.BlockCount = (int)Math.Clamp(SumElementLimit / sumsOfBlock, 1, Math.Clamp(g.BatchCount, 1, BlockLimit));
        int chunks = Math.Clamp(BlockLimit / (plan.BlockCount * g.Groups), 1, Math.Max(1, g.InputChannels));
        plan.ChunkChannels = Math.Max(1, (g.InputChannels + chunks - 1) / chunks);
        plan.ChunkCount = Math.Max(1, (g.InputChannels + plan.ChunkChannels - 1) / plan.ChunkChannels);
        int rows = Math.Clamp(GradientElementLimit / (g.OutputWidth * plan.PaddedOutputs), 1, g.OutputHeight);
        int bands = (g.OutputHeight + rows - 1) / rows;
        plan.BandRows = (g.OutputHeight + bands - 1) / bands;
        plan.RowPitch = g.InputWidth + (2 * g.PaddingWidth);
        plan.PlaneStride = ((plan.RowPitch * (((plan.BandRows - 1) * g.StrideHeight) + g.KernelHeight)) + 15) / 16 * 16 | 16;
        return plan;
    }

    /// <summary>First image of a block; that of the block after the last is the batch's end.</summary>
    public readonly int FirstImage(int block) => (int)((long)Geometry.BatchCount * block / BlockCount);

    /// <summary>Where the taps of a chunk read in its padded planes, the last repeated up to whole tiles.</summary>
    public readonly unsafe void WriteOffsets(int* offsets)
    {
        int taps = ChunkChannels * Geometry.KernelPlane;
        for (int i = 0; i < ChunkTaps; i++)
        {
            int tap = Math.Min(i, taps - 1), place = tap % Geometry.KernelPlane;
            offsets[i] = (tap / Geometry.KernelPlane * PlaneStride) + (place / Geometry.KernelWidth * RowPitch) + (place % Geometry.KernelWidth);
        }
    }
}
