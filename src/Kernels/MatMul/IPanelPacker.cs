namespace DistTrain.Kernels;

/// <summary>
/// One operand of <see cref="MatMulSimd"/>'s product as a set of lines: the rows of the left matrix [m, k] or the columns of the right one
/// [k, n], each k elements deep. A struct, so that the loops are compiled for it: a matrix with strides (<see cref="StridedPacker"/>), or
/// something that is never stored, such as the patches of an image.
///
/// A panel is what the micro-kernel reads: the elements of <c>width</c> neighbouring lines, depth by depth, so that element
/// (line i, depth k) lies at <c>panel[k * width + i]</c>. Lines that don't exist are zeros.
/// </summary>
internal unsafe interface IPanelPacker
{
    /// <summary>True if the lines lie in memory with fixed strides, so that packing may be skipped.</summary>
    bool IsStrided { get; }

    /// <summary>Elements from a line to the next, where strided.</summary>
    long LineStride { get; }

    /// <summary>Elements from a depth to the next, where strided.</summary>
    long DepthStride { get; }

    /// <summary>The address of an element, where strided.</summary>
    float* Address(int batch, int line, int depth);

    /// <summary>
    /// Packs lines <paramref name="firstLine"/> to firstLine + lineCount - 1 at depths <paramref name="firstDepth"/> to
    /// firstDepth + depthCount - 1 into ceil(lineCount / width) panels of width · depthCount elements, one after another.
    /// Called from several threads at once.
    /// </summary>
    /// <typeparam name="V">The vectors to use.</typeparam>
    void Pack<V>(float* panels, int width, int batch, int firstLine, int lineCount, int firstDepth, int depthCount)
        where V : unmanaged, ISimd<V>;
}
