using ILGPU;

namespace DistTrain.Kernels;

/// <summary>
/// A convolution, or one of its gradients, seen as a matrix product for each group: result[row, column] = Σ over depth of left · right.
/// No matrix is built: elements are found in the tensors as they are needed (implicit GEMM; Chetlur et al. 2014, arXiv 1410.0759).
/// </summary>
internal interface IConvolutionProduct
{
    int Rows(ConvolutionGeometry g);

    int Columns(ConvolutionGeometry g);

    int Depth(ConvolutionGeometry g);

    float Left<T, TElement>(ArrayView<T> left, ConvolutionGeometry g, int group, int row, int depth)
        where T : unmanaged where TElement : unmanaged, IGpuElement<T>;

    float Right<T, TElement>(ArrayView<T> right, ConvolutionGeometry g, int group, int depth, int column)
        where T : unmanaged where TElement : unmanaged, IGpuElement<T>;

    /// <summary>Where the element lies in the result tensor.</summary>
    long Target(ConvolutionGeometry g, int group, int row, int column);
}

/// <summary>Output channels by pixels of all images; depth = taps. Left is the weight, right the input.</summary>
internal readonly struct ForwardProduct : IConvolutionProduct
{
    public int Rows(ConvolutionGeometry g) => g.OutputChannels;

    public int Columns(ConvolutionGeometry g) => g.BatchCount * g.OutputPlane;

    public int Depth(ConvolutionGeometry g) => g.TapCount;

    public float Left<T, TElement>(ArrayView<T> left, ConvolutionGeometry g, int group, int row, int depth)
        where T : unmanaged where TElement : unmanaged, IGpuElement<T> =>
        GpuElements.Read<T, TElement>(left, ((((long)group * g.OutputChannels) + row) * g.TapCount) + depth);

    public float Right<T, TElement>(ArrayView<T> right, ConvolutionGeometry g, int group, int depth, int column)
        where T : unmanaged where TElement : unmanaged, IGpuElement<T> =>
        InputCell<T, TElement>(right, g, group, depth, column);

    public long Target(ConvolutionGeometry g, int group, int row, int column) =>
        (((((long)(column / g.OutputPlane) * g.Groups) + group) * g.OutputChannels) + row) * g.OutputPlane + (column % g.OutputPlane);

    /// <summary>The input element that a tap reads for a pixel (of all images); 0 in the padding.</summary>
    public static float InputCell<T, TElement>(ArrayView<T> input, ConvolutionGeometry g, int group, int tap, int pixel)
        where T : unmanaged where TElement : unmanaged, IGpuElement<T>
    {
        int n = pixel / g.OutputPlane, place = pixel % g.OutputPlane, c = tap / g.KernelPlane, kernelPlace = tap % g.KernelPlane;
        int h = (place / g.OutputWidth * g.StrideHeight) + (kernelPlace / g.KernelWidth) - g.PaddingHeight;
        int w = (place % g.OutputWidth * g.StrideWidth) + (kernelPlace % g.KernelWidth) - g.PaddingWidth;
        if (h < 0 || h >= g.InputHeight || w < 0 || w >= g.InputWidth) return 0f;
        return GpuElements.Read<T, TElement>(input, (((((long)n * g.Groups) + group) * g.InputChannels) + c) * g.InputPlane + (h * g.InputWidth) + w);
    }
}

/// <summary>Input channels by input cells of all images; depth = output channels by kernel places. Left is the weight, right the output's gradient.</summary>
internal readonly struct BackwardInputProduct : IConvolutionProduct
{
    public int Rows(ConvolutionGeometry g) => g.InputChannels;

    public int Columns(ConvolutionGeometry g) => g.BatchCount * g.InputPlane;

    public int Depth(ConvolutionGeometry g) => g.OutputChannels * g.KernelPlane;

    public float Left<T, TElement>(ArrayView<T> left, ConvolutionGeometry g, int group, int row, int depth)
        where T : unmanaged where TElement : unmanaged, IGpuElement<T>
    {
        long o = ((long)group * g.OutputChannels) + (depth / g.KernelPlane);
        return GpuElements.Read<T, TElement>(left, (((o * g.InputChannels) + row) * g.KernelPlane) + (depth % g.KernelPlane));
    }

    public float Right<T, TElement>(ArrayView<T> right, ConvolutionGeometry g, int group, int depth, int column)
        where T : unmanaged where TElement : unmanaged, IGpuElement<T>
    {
        int n = column / g.InputPlane, cell = column % g.InputPlane, o = depth / g.KernelPlane, place = depth % g.KernelPlane;
        int top = (cell / g.InputWidth) + g.PaddingHeight - (place / g.KernelWidth);
        int left = (cell % g.InputWidth) + g.PaddingWidth - (place % g.KernelWidth);
        int y = top / g.StrideHeight, x = left / g.StrideWidth;
        if (top < 0 || left < 0 || top % g.StrideHeight != 0 || left % g.StrideWidth != 0 || y >= g.OutputHeight || x >= g.OutputWidth) return 0f;
        return GpuElements.Read<T, TElement>(right, (((((long)n * g.Groups) + group) * g.OutputChannels) + o) * g.OutputPlane + (y * g.OutputWidth) + x);
    }

    public long Target(ConvolutionGeometry g, int group, int row, int column) =>
        (((((long)(column / g.InputPlane) * g.Groups) + group) * g.InputChannels) + row) * g.InputPlane + (column % g.InputPlane);
}

/// <summary>Output channels by taps; depth = pixels of all images. Left is the output's gradient, right the input.</summary>
internal readonly struct BackwardWeightProduct : IConvolutionProduct
{
    public int Rows(ConvolutionGeometry g) => g.OutputChannels;

    public int Columns(ConvolutionGeometry g) => g.TapCount;

    public int Depth(ConvolutionGeometry g) => g.BatchCount * g.OutputPlane;

    public float Left<T, TElement>(ArrayView<T> left, ConvolutionGeometry g, int group, int row, int depth)
        where T : unmanaged where TElement : unmanaged, IGpuElement<T> =>
        GpuElements.Read<T, TElement>(left, (((((long)(depth / g.OutputPlane) * g.Groups) + group) * g.OutputChannels) + row) * g.OutputPlane + (depth % g.OutputPlane));

    public float Right<T, TElement>(ArrayView<T> right, ConvolutionGeometry g, int group, int depth, int column)
        where T : unmanaged where TElement : unmanaged, IGpuElement<T> =>
        ForwardProduct.InputCell<T, TElement>(right, g, group, column, depth);

    public long Target(ConvolutionGeometry g, int group, int row, int column) =>
        ((((long)group * g.OutputChannels) + row) * g.TapCount) + column;
}
