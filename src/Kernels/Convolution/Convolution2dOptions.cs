namespace DistTrain.Kernels;

/// <summary>
/// How a 2-D convolution moves over its input. Strides and groups are at least 1, paddings (zeros on either side) at least 0.
/// <c>default</c> is stride 1, no padding, one group. With g groups, the g-th part of the output channels sees the g-th part of the input
/// channels only; as many groups as input channels is a depthwise convolution.
/// </summary>
public readonly record struct Convolution2dOptions(
    int StrideHeight = 1, int StrideWidth = 1, int PaddingHeight = 0, int PaddingWidth = 0, int Groups = 1)
{
    // Kept less 1, so that default(Convolution2dOptions) has strides and groups of 1.
    private readonly int _strideHeightLess1 = StrideHeight - 1;
    private readonly int _strideWidthLess1 = StrideWidth - 1;
    private readonly int _groupsLess1 = Groups - 1;

    /// <summary>Rows that the kernel moves down from one output row to the next.</summary>
    public int StrideHeight
    {
        get => _strideHeightLess1 + 1;
        init => _strideHeightLess1 = value - 1;
    }

    /// <summary>Columns that the kernel moves right from one output column to the next.</summary>
    public int StrideWidth
    {
        get => _strideWidthLess1 + 1;
        init => _strideWidthLess1 = value - 1;
    }

    /// <summary>Independent parts that the channels are cut into.</summary>
    public int Groups
    {
        get => _groupsLess1 + 1;
        init => _groupsLess1 = value - 1;
    }

    /// <summary>Stride 1 and the padding that keeps height and width for a kernel of odd extents.</summary>
    /// <exception cref="ArgumentException">An extent is even: no equal padding on both sides keeps the size.</exception>
    public static Convolution2dOptions Same(int kernelHeight, int kernelWidth, int groups = 1)
    {
        if (kernelHeight % 2 == 0 || kernelWidth % 2 == 0)
            throw new ArgumentException($"a {kernelHeight}x{kernelWidth} kernel keeps no size with equal padding on both sides; use odd extents");
        return new Convolution2dOptions(1, 1, kernelHeight / 2, kernelWidth / 2, groups);
    }

    /// <summary>The output's shape [batch, output channels, height, width] for an NCHW input and an OIHW weight.</summary>
    /// <exception cref="ShapeException">The shapes and these options don't fit each other.</exception>
    public Shape OutputShape(Shape input, Shape weight) => ConvolutionGeometry.Of("convolution", input, weight, this).OutputShape;
}
