namespace DistTrain.Kernels;

/// <summary>
/// Statistics per channel, fused with the normalisation while a channel is in the cache. [N, C]: an item is 16 columns. Positions: an item is
/// a channel where there are many or they are small; else a (channel, block of images) whose partial statistics are merged in order. How
/// work is cut depends on the shape only.
/// </summary>
internal static unsafe class BatchNormSimd
{
    private const int ManyChannels = 32;
    private const int BlockElementCount = 16_384;

    public static void Forward(CpuDevice cpu, ChannelLayout layout, Tensor output, Tensor mean, Tensor inverseStd, Tensor input, Tensor scale, Tensor shift, float epsilon)
    {
        ChannelNormalise kernel = new()
        {
            Layout = layout,
            Output = (float*)output.Pointer,
            Input = (float*)input.Pointer,
            Mean = (float*)mean.Pointer,
            Spread = (float*)inverseStd.Pointer,
            Scale = (float*)scale.Pointer,
            Shift = (float*)shift.Pointer,
            Epsilon = epsilon,
            ImagesPerBlock = ImagesPerBlock(layout),
        };
        if (layout.Positions == 1) cpu.Run(new ColumnForward { Whole = kernel }, ColumnItemCount(layout));
        else if (layout.Images <= kernel.ImagesPerBlock) cpu.Run(kernel with { Phase = ChannelPhase.Whole }, layout.Channels);
        else
        {
            using Tensor partials = Tensor.Allocate(cpu.DefaultStream, new Shape(layout.Channels, kernel.BlockCount, 2 * Moments.FieldCount));
            kernel.Partials = (double*)partials.Pointer;
            cpu.Run(kernel with { Phase = ChannelPhase.Partial }, layout.Channels * kernel.BlockCount);
            cpu.Run(kernel with { Phase = ChannelPhase.Finish }, layout.Channels * kernel.BlockCount);
        }
    }

    public static void ForwardInference(CpuDevice cpu, ChannelLayout layout, Tensor output, Tensor input, Tensor runningMean, Tensor runningVariance, Tensor scale, Tensor shift, float epsilon)
    {
        ChannelNormalise kernel = new()
        {
            Layout = layout,
            Output = (float*)output.Pointer,
            Input = (float*)input.Pointer,
            Mean = (float*)runningMean.Pointer,
            Spread = (float*)runningVariance.Pointer,
            Scale = (float*)scale.Pointer,
            Shift = (float*)shift.Pointer,
            Epsilon = epsilon,
            Phase = ChannelPhase.Inference,
            ImagesPerBlock = Math.Max(1, BlockElementCount / Math.Max(1, layout.Positions)),
        };
        if (layout.Positions == 1) cpu.Run(new ColumnForward { Whole = kernel }, ColumnItemCount(layout));
        else cpu.Run(kernel, checked(layout.Channels * kernel.BlockCount));
    }

    public static void Backward(CpuDevice cpu, ChannelLayout layout, Tensor dInput, Tensor dScale, Tensor dShift, Tensor dOutput, Tensor input, Tensor mean, Tensor inverseStd, Tensor scale, bool accumulate)
    {
        ChannelGradient kernel = new()
        {
            Layout = layout,
            DInput = (float*)dInput.Pointer,
            DScale = (float*)dScale.Pointer,
            DShift = (float*)dShift.Pointer,
            DOutput = (float*)dOutput.Pointer,
            Input = (float*)input.Pointer,
            Mean = (float*)mean.Pointer,
            InverseStd = (float*)inverseStd.Pointer,
            Scale = (float*)scale.Pointer,
            Accumulate = accumulate,
            ImagesPerBlock = ImagesPerBlock(layout),
        };
        if (layout.Positions == 1) cpu.Run(new ColumnBackward { Whole = kernel }, ColumnItemCount(layout));
        else if (layout.Images <= kernel.ImagesPerBlock) cpu.Run(kernel with { Phase = ChannelPhase.Whole }, layout.Channels);
        else
        {
            using Tensor partials = Tensor.Allocate(cpu.DefaultStream, new Shape(layout.Channels, kernel.BlockCount, 2));
            kernel.Partials = (float*)partials.Pointer;
            cpu.Run(kernel with { Phase = ChannelPhase.Partial }, layout.Channels * kernel.BlockCount);
            cpu.Run(kernel with { Phase = ChannelPhase.Finish }, layout.Channels * kernel.BlockCount);
        }
    }

    /// <summary>Images that one item takes: all, where channels are many or small.</summary>
    internal static int ImagesPerBlock(ChannelLayout layout) =>
        layout.Channels >= ManyChannels || layout.ElementsPerChannel <= BlockElementCount
            ? Math.Max(1, layout.Images)
            : Math.Max(1, BlockElementCount / layout.Positions);

    internal static int ColumnItemCount(ChannelLayout layout) => (layout.Channels + ColumnForward.ColumnCount - 1) / ColumnForward.ColumnCount;
}

/// <summary>What an item of a channel kernel does.</summary>
internal enum ChannelPhase
{
    /// <summary>Statistics and normalisation (or both gradients) of a whole channel.</summary>
    Whole,

    /// <summary>Statistics of a block of images, into the partials.</summary>
    Partial,

    /// <summary>Merges the channel's partials in order, then normalises a block of images.</summary>
    Finish,

    /// <summary>Normalises a block of images by given statistics.</summary>
    Inference,

    /// <summary>Statistics (or gradient sums) of a whole channel, and nothing else.</summary>
    Statistics,

    /// <summary>Merges the channel's partials in order, and nothing else.</summary>
    MergeStatistics,

    /// <summary>Normalises a block of images (or gives its input gradient) by statistics of a batch of which this is a part.</summary>
    Given,
}
