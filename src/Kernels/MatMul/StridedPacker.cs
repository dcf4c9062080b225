
namespace DistTrain.Kernels;

/// <summary>A matrix in memory, or a batch of them, as an operand: plain or transposed by its strides.</summary>
internal unsafe struct StridedPacker(float* first, long lineStride, long depthStride, long batchStride) : IPanelPacker
{
    public readonly bool IsStrided => true;

    public readonly long LineStride => lineStride;

    public readonly long DepthStride => depthStride;

    /// <summary>The rows of a view, as the left operand.</summary>
    public static StridedPacker Left(MatrixView view) => new(First(view), view.RowStride, view.ColumnStride, BatchStride(view));

    /// <summary>The columns of a view, as the right operand.</summary>
    public static StridedPacker Right(MatrixView view) => new(First(view), view.ColumnStride, view.RowStride, BatchStride(view));

    public readonly float* Address(int batch, int line, int depth) =>
        first + (batch * batchStride) + (line * lineStride) + (depth * depthStride);

    public readonly void Pack<V>(float* panels, int width, int batch, int firstLine, int lineCount, int firstDepth, int depthCount)
        where V : unmanaged, ISimd<V>
    {
        float* source = Address(batch, firstLine, firstDepth);
        if (lineStride == 1) PanelCopy.Lines<V>(panels, width, source, depthStride, lineCount, depthCount);
        else if (depthStride == 1) PanelTranspose.Lines<V>(panels, width, source, lineStride, lineCount, depthCount);
        else Gather(panels, width, source, lineCount, depthCount);
    }

    private static float* First(MatrixView view) => (float*)view.Tensor.Pointer + view.Offset;

    private static long BatchStride(MatrixView view) => view.BatchCount == 1 ? 0 : view.BatchStride;

    private readonly void Gather(float* panels, int width, float* source, int lineCount, int depthCount)
    {
        for (int start = 0; start < lineCount; start += width)
        {
            for (int k = 0; k < depthCount; k++, panels += width)
            for (int i = 0; i < width; i++)
                panels[i] = start + i < lineCount ? source[((start + i) * lineStride) + (k * depthStride)] : 0f;
        }
    }
}
