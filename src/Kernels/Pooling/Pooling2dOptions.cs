namespace DistTrain.Kernels;

/// <summary>
/// The window of a 2-D pooling and how it moves. Extents and strides are at least 1; paddings at least 0 and at most half the kernel, so that
/// every window holds at least one cell of the input. Rows and columns that no whole window reaches at the far edge are left out.
/// </summary>
public readonly record struct Pooling2dOptions(
    int KernelHeight, int KernelWidth, int StrideHeight, int StrideWidth, int PaddingHeight = 0, int PaddingWidth = 0)
{
    /// <summary>The output's shape [batch, channels, height, width] for an NCHW input.</summary>
    /// <exception cref="ShapeException">The input and these options don't fit each other.</exception>
    public Shape OutputShape(Shape input) => PoolingGeometry.Of("pooling", input, this).OutputShape;
}
