namespace DistTrain.Kernels;

/// <summary>The sizes of one convolution, checked. Channels are counted per group. Unmanaged, so that GPU kernels take it as it is.</summary>
internal readonly struct ConvolutionGeometry
{
    public readonly int BatchCount;
    public readonly int Groups;

    /// <summary>Input channels of one group.</summary>
    public readonly int InputChannels;

    /// <summary>Output channels of one group.</summary>
    public readonly int OutputChannels;
    public readonly int InputHeight;
    public readonly int InputWidth;
    public readonly int KernelHeight;
    public readonly int KernelWidth;
    public readonly int OutputHeight;
    public readonly int OutputWidth;
    public readonly int StrideHeight;
    public readonly int StrideWidth;
    public readonly int PaddingHeight;
    public readonly int PaddingWidth;

    private ConvolutionGeometry(Shape input, Shape weight, in Convolution2dOptions options)
    {
        (BatchCount, Groups) = (input[0], options.Groups);
        (OutputChannels, InputChannels) = (weight[0] / options.Groups, weight[1]);
        (InputHeight, InputWidth) = (input[2], input[3]);
        (KernelHeight, KernelWidth) = (weight[2], weight[3]);
        (StrideHeight, StrideWidth) = (options.StrideHeight, options.StrideWidth);
        (PaddingHeight, PaddingWidth) = (options.PaddingHeight, options.PaddingWidth);
        OutputHeight = ((InputHeight + (2 * PaddingHeight) - KernelHeight) / StrideHeight) + 1;
        OutputWidth = ((InputWidth + (2 * PaddingWidth) - KernelWidth) / StrideWidth) + 1;
    }

    public Shape OutputShape => new(BatchCount, Groups * OutputChannels, OutputHeight, OutputWidth);

    public int InputPlane => InputHeight * InputWidth;

    public int OutputPlane => OutputHeight * OutputWidth;

    public int KernelPlane => KernelHeight * KernelWidth;

    /// <summary>Products in the sum that makes one output element.</summary>
    public int TapCount => InputChannels * KernelPlane;

    /// <summary>Checks that the shapes and options fit and gives the sizes.</summary>
    public static ConvolutionGeometry Of(string operation, Shape input, Shape weight, in Convolution2dOptions options)
    {
        Check.Rule(operation, input.DimensionCount == 4, $"input {input} must have 4 dimensions: [batch, channels, height, width]");
        Check.Rule(operation, weight.DimensionCount == 4,
            $"weight {weight} must have 4 dimensions: [output channels, input channels / groups, kernel height, kernel width]");
        int groups = options.Groups;
        Check.Rule(operation, options.StrideHeight >= 1 && options.StrideWidth >= 1,
            $"strides are {options.StrideHeight} and {options.StrideWidth}, expected at least 1");
        Check.Rule(operation, options.PaddingHeight >= 0 && options.PaddingWidth >= 0,
            $"paddings are {options.PaddingHeight} and {options.PaddingWidth}, expected at least 0");
        Check.Rule(operation, groups >= 1, $"groups is {groups}, expected at least 1");
        Check.Rule(operation, weight[2] >= 1 && weight[3] >= 1, $"weight {weight} has an empty kernel");
        Check.Rule(operation, input[1] % groups == 0, $"the {input[1]} channels of input {input} can't be divided into {groups} groups");
        Check.Rule(operation, weight[0] % groups == 0, $"the {weight[0]} output channels of weight {weight} can't be divided into {groups} groups");
        Check.Rule(operation, (long)weight[1] * groups == input[1],
            $"weight {weight} expects {weight[1]} x {groups} (groups) input channels, input {input} has {input[1]}");
        long height = input[2] + (2L * options.PaddingHeight), width = input[3] + (2L * options.PaddingWidth);
        Check.Rule(operation, weight[2] <= height && weight[3] <= width,
            $"the {weight[2]}x{weight[3]} kernel is larger than the padded input of {height}x{width}");
        return new ConvolutionGeometry(input, weight, options);
    }
}
