namespace DistTrain.Kernels;

/// <summary>
/// A matrix of 16-bit elements, or a batch of them, as an operand: widened to f32 while it is packed, so that the product has the bits of the one with widened operands. Never read in place.
/// </summary>
internal unsafe struct SixteenBitPacker(DType dtype, ushort* first, long lineStride, long depthStride, long batchStride) : IPanelPacker
{
    private const int DepthsAtOnce = 64;
    private const int LargestWidth = 64;

    public readonly bool IsStrided => false;

    public readonly long LineStride => lineStride;

    public readonly long DepthStride => depthStride;

    /// <summary>The rows of a view, as the left operand.</summary>
    public static SixteenBitPacker Left(MatrixView view) => new(view.Tensor.DType, First(view), view.RowStride, view.ColumnStride, BatchStride(view));

    /// <summary>The columns of a view, as the right operand.</summary>
    public static SixteenBitPacker Right(MatrixView view) => new(view.Tensor.DType, First(view), view.ColumnStride, view.RowStride, BatchStride(view));

    public readonly float* Address(int batch, int line, int depth) => throw new NotSupportedException("16-bit elements are packed before they are read");

    public readonly void Pack<V>(float* panels, int width, int batch, int firstLine, int lineCount, int firstDepth, int depthCount)
        where V : unmanaged, ISimd<V>
    {
        ushort* source = first + (batch * batchStride) + (firstLine * lineStride) + (firstDepth * depthStride);
        for (int start = 0; start < lineCount; start += width, source += width * lineStride, panels += (long)width * depthCount)
        {
            int lines = Math.Min(width, lineCount - start);
            if (lineStride == 1) Wide(panels, width, source, lines, depthCount);
            else if (depthStride == 1 && width <= LargestWidth) Deep<V>(panels, width, source, lines, depthCount);
            else Gather(panels, width, source, lines, depthCount);
        }
    }

    private static ushort* First(MatrixView view) => (ushort*)view.Tensor.Pointer + view.Offset;

    private static long BatchStride(MatrixView view) => view.BatchCount == 1 ? 0 : view.BatchStride;

    // Lines lie next to one another: each depth's go straight to their place.
    private readonly void Wide(float* panel, int width, ushort* source, int lines, int depthCount)
    {
        for (int k = 0; k < depthCount; k++, panel += width, source += depthStride)
        {
            HostConversion.Widen(dtype, source, panel, lines);
            for (int i = lines; i < width; i++) panel[i] = 0f;
        }
    }

    // Depths do: a piece of each line is widened, and the pieces are transposed as f32.
    private readonly void Deep<V>(float* panel, int width, ushort* source, int lines, int depthCount) where V : unmanaged, ISimd<V>
    {
        float* pieces = stackalloc float[LargestWidth * DepthsAtOnce];
        for (int k = 0; k < depthCount; k += DepthsAtOnce)
        {
            int depths = Math.Min(DepthsAtOnce, depthCount - k);
            for (int i = 0; i < lines; i++) HostConversion.Widen(dtype, source + (i * lineStride) + k, pieces + (i * DepthsAtOnce), depths);
            PanelTranspose.Lines<V>(panel + ((long)k * width), width, pieces, DepthsAtOnce, lines, depths);
        }
    }

    private readonly void Gather(float* panel, int width, ushort* source, int lines, int depthCount)
    {
        for (int k = 0; k < depthCount; k++, panel += width)
        for (int i = 0; i < width; i++)
            panel[i] = i < lines ? Widen(source[(i * lineStride) + (k * depthStride)]) : 0f;
    }

    private readonly float Widen(ushort element) => dtype == DType.F16 ? SixteenBits.FromHalf(element) : SixteenBits.FromBrain(element);
}
