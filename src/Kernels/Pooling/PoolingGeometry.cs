namespace DistTrain.Kernels;

/// <summary>The sizes of one pooling, checked. A plane is one channel of one image. Unmanaged, so that GPU kernels take it as it is.</summary>
internal readonly struct PoolingGeometry
{
    public readonly int BatchCount;
    public readonly int Channels;
    public readonly int InputHeight;
    public readonly int InputWidth;
    public readonly int OutputHeight;
    public readonly int OutputWidth;
    public readonly int KernelHeight;
    public readonly int KernelWidth;
    public readonly int StrideHeight;
    public readonly int StrideWidth;
    public readonly int PaddingHeight;
    public readonly int PaddingWidth;

    private PoolingGeometry(Shape input, in Pooling2dOptions options)
    {
        (BatchCount, Channels, InputHeight, InputWidth) = (input[0], input[1], input[2], input[3]);
        (KernelHeight, KernelWidth) = (options.KernelHeight, options.KernelWidth);
        (StrideHeight, StrideWidth) = (options.StrideHeight, options.StrideWidth);
        (PaddingHeight, PaddingWidth) = (options.PaddingHeight, options.PaddingWidth);
        OutputHeight = ((InputHeight + (2 * PaddingHeight) - KernelHeight) / StrideHeight) + 1;
        OutputWidth = ((InputWidth + (2 * PaddingWidth) - KernelWidth) / StrideWidth) + 1;
    }

    public Shape OutputShape => new(BatchCount, Channels, OutputHeight, OutputWidth);

    public int PlaneCount => checked(BatchCount * Channels);

    public int InputPlane => InputHeight * InputWidth;

    public int OutputPlane => OutputHeight * OutputWidth;

    /// <summary>The window that halves height and width: 2x2, stride 2, no padding.</summary>
    public bool IsHalving =>
        KernelHeight == 2 && KernelWidth == 2 && StrideHeight == 2 && StrideWidth == 2 && PaddingHeight == 0 && PaddingWidth == 0;

    /// <summary>First row, inside the input, of the windows of output row <paramref name="y"/>.</summary>
    public int FirstRow(int y) => Math.Max(0, (y * StrideHeight) - PaddingHeight);

    /// <summary>The row after the last one.</summary>
    public int EndRow(int y) => Math.Min(InputHeight, (y * StrideHeight) - PaddingHeight + KernelHeight);

    public int FirstColumn(int x) => Math.Max(0, (x * StrideWidth) - PaddingWidth);

    public int EndColumn(int x) => Math.Min(InputWidth, (x * StrideWidth) - PaddingWidth + KernelWidth);

    /// <summary>Checks that the input and the options fit and gives the sizes.</summary>
    public static PoolingGeometry Of(string operation, Shape input, in Pooling2dOptions options)
    {
        Check.Rule(operation, input.DimensionCount == 4, $"input {input} must have 4 dimensions: [batch, channels, height, width]");
        Check.Rule(operation, options.KernelHeight >= 1 && options.KernelWidth >= 1,
            $"the kernel is {options.KernelHeight}x{options.KernelWidth}, expected at least 1x1");
        Check.Rule(operation, options.StrideHeight >= 1 && options.StrideWidth >= 1,
            $"strides are {options.StrideHeight} and {options.StrideWidth}, expected at least 1");
        Check.Rule(operation, options.PaddingHeight >= 0 && options.PaddingWidth >= 0,
            $"paddings are {options.PaddingHeight} and {options.PaddingWidth}, expected at least 0");
        Check.Rule(operation, options.PaddingHeight <= options.KernelHeight / 2 && options.PaddingWidth <= options.KernelWidth / 2,
            $"paddings {options.PaddingHeight} and {options.PaddingWidth} are more than half the {options.KernelHeight}x{options.KernelWidth} kernel");
        long height = input[2] + (2L * options.PaddingHeight), width = input[3] + (2L * options.PaddingWidth);
        Check.Rule(operation, options.KernelHeight <= height && options.KernelWidth <= width,
            $"the {options.KernelHeight}x{options.KernelWidth} kernel is larger than the padded input of {height}x{width}");
        return new PoolingGeometry(input, options);
    }
}
