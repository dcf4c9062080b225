namespace DistTrain.Kernels;

/// <summary>The steps of <see cref="BatchNormSimd"/> one by one, with work cut in the same way: how depends on the shape only.</summary>
internal static unsafe class DividedBatchNormSimd
{
    public static void Moments(CpuDevice cpu, ChannelLayout layout, Tensor moments, Tensor input)
    {
        ChannelNormalise kernel = new()
        {
            Layout = layout,
            Input = (float*)input.Pointer,
            Statistics = (float*)moments.Pointer,
            Phase = ChannelPhase.Statistics,
            ImagesPerBlock = BatchNormSimd.ImagesPerBlock(layout),
        };
        if (layout.Positions == 1) cpu.Run(new ColumnForward { Whole = kernel }, BatchNormSimd.ColumnItemCount(layout));
        else if (layout.Images <= kernel.ImagesPerBlock) cpu.Run(kernel, layout.Channels);
        else
        {
            using Tensor partials = Tensor.Allocate(cpu.DefaultStream, new Shape(layout.Channels, kernel.BlockCount, 2 * Kernels.Moments.FieldCount));
            kernel.Partials = (double*)partials.Pointer;
            cpu.Run(kernel with { Phase = ChannelPhase.Partial }, layout.Channels * kernel.BlockCount);
            cpu.Run(kernel with { Phase = ChannelPhase.MergeStatistics }, layout.Channels);
        }
    }

    public static void Forward(CpuDevice cpu, ChannelLayout layout, Tensor output, Tensor mean, Tensor inverseStd, Tensor input, Tensor moments, Tensor scale, Tensor shift, float epsilon)
    {
        DividedBatchNormReference.StoreStatistics(layout, mean, inverseStd, moments, epsilon);
        ChannelNormalise kernel = new()
        {
            Layout = layout,
            Output = (float*)output.Pointer,
            Input = (float*)input.Pointer,
            Mean = (float*)mean.Pointer,
            Rest = (float*)moments.Pointer + (2L * layout.Channels),
            Spread = (float*)inverseStd.Pointer,
            Scale = (float*)scale.Pointer,
            Shift = (float*)shift.Pointer,
            Phase = ChannelPhase.Given,
            ImagesPerBlock = BatchNormSimd.ImagesPerBlock(layout),
        };
        if (layout.Positions == 1) cpu.Run(new ColumnForward { Whole = kernel }, BatchNormSimd.ColumnItemCount(layout));
        else cpu.Run(kernel, checked(layout.Channels * kernel.BlockCount));
    }

    public static void GradientSums(CpuDevice cpu, ChannelLayout layout, Tensor sums, Tensor dOutput, Tensor input, Tensor mean, Tensor inverseStd)
    {
        ChannelGradient kernel = new()
        {
            Layout = layout,
            DShift = (float*)sums.Pointer,
            DScale = (float*)sums.Pointer + layout.Channels,
            DOutput = (float*)dOutput.Pointer,
            Input = (float*)input.Pointer,
            Mean = (float*)mean.Pointer,
            InverseStd = (float*)inverseStd.Pointer,

            Phase = ChannelPhase.Statistics,
            ImagesPerBlock = BatchNormSimd.ImagesPerBlock(layout),
        };
        if (layout.Positions == 1) cpu.Run(new ColumnBackward { Whole = kernel }, BatchNormSimd.ColumnItemCount(layout));
        else if (layout.Images <= kernel.ImagesPerBlock) cpu.Run(kernel, layout.Channels);
        else
        {
            using Tensor partials = Tensor.Allocate(cpu.DefaultStream, new Shape(layout.Channels, kernel.BlockCount, 2));
            kernel.Partials = (float*)partials.Pointer;
            cpu.Run(kernel with { Phase = ChannelPhase.Partial }, layout.Channels * kernel.BlockCount);
            cpu.Run(kernel with { Phase = ChannelPhase.MergeStatistics }, layout.Channels);
        }
    }

    public static void InputGradient(CpuDevice cpu, ChannelLayout layout, Tensor dInput, Tensor dOutput, Tensor input, Tensor mean, Tensor inverseStd, Tensor scale, Tensor sums, Tensor moments)
    {
        ChannelGradient kernel = new()
        {
            Layout = layout,
            DInput = (float*)dInput.Pointer,
            DShift = (float*)sums.Pointer,
            DScale = (float*)sums.Pointer + layout.Channels,
            DOutput = (float*)dOutput.Pointer,
            Input = (float*)input.Pointer,
            Mean = (float*)mean.Pointer,
            InverseStd = (float*)inverseStd.Pointer,
            Scale = (float*)scale.Pointer,
            Counts = (float*)moments.Pointer,
            Phase = ChannelPhase.Given,
            ImagesPerBlock = BatchNormSimd.ImagesPerBlock(layout),
        };
        if (layout.Positions == 1) cpu.Run(new ColumnBackward { Whole = kernel }, BatchNormSimd.ColumnItemCount(layout));
        else cpu.Run(kernel, checked(layout.Channels * kernel.BlockCount));
    }
}
