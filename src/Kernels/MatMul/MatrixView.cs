namespace DistTrain.Kernels;

/// <summary>
/// A matrix, or a batch of equal matrices, seen in a tensor's memory. Owns nothing: the tensor must live until the work that uses it is
/// enqueued. Element (b, i, j) lies at <c>Offset + b BatchStride + i RowStride + j ColumnStride</c> elements from the tensor's first.
/// A tensor converts implicitly: two dimensions are one matrix, further leading dimensions are the batch.
/// </summary>
public readonly struct MatrixView
{
    private MatrixView(Tensor tensor, int rows, int columns, long rowStride, long columnStride, int batchCount, long batchStride, long offset)
    {
        Tensor = tensor;
        Rows = rows;
        Columns = columns;
        RowStride = rowStride;
        ColumnStride = columnStride;
        BatchCount = batchCount;
        BatchStride = batchStride;
        Offset = offset;
    }

    /// <summary>The tensor whose memory this is a view of.</summary>
    public Tensor Tensor { get; }

    /// <summary>Rows of one matrix.</summary>
    public int Rows { get; }

    /// <summary>Columns of one matrix.</summary>
    public int Columns { get; }

    /// <summary>Elements from a row to the next.</summary>
    public long RowStride { get; }

    /// <summary>Elements from a column to the next; 1 unless transposed.</summary>
    public long ColumnStride { get; }

    /// <summary>Matrices in the batch.</summary>
    public int BatchCount { get; }

    /// <summary>Elements from a matrix to the next.</summary>
    public long BatchStride { get; }

    /// <summary>Elements before the first one of the first matrix.</summary>
    public long Offset { get; }

    /// <summary>The same elements with rows and columns exchanged; nothing is copied.</summary>
    public MatrixView Transposed => new(Tensor, Columns, Rows, ColumnStride, RowStride, BatchCount, BatchStride, Offset);

    /// <summary>True if there is no element.</summary>
    internal bool IsEmpty => Rows == 0 || Columns == 0 || BatchCount == 0;

    /// <summary>Elements from the first one up to and including the last one.</summary>
    internal long Span => IsEmpty ? 0 : ((BatchCount - 1) * BatchStride) + ((Rows - 1) * RowStride) + ((Columns - 1) * ColumnStride) + 1;

    /// <summary>A dense tensor: its last two dimensions are the matrix, those before them the batch.</summary>
    /// <exception cref="ShapeException">The tensor has fewer than two dimensions.</exception>
    public static implicit operator MatrixView(Tensor tensor) => FromTensor(tensor);

    /// <inheritdoc cref="op_Implicit(Tensor)"/>
    public static MatrixView FromTensor(Tensor tensor)
    {
        ArgumentNullException.ThrowIfNull(tensor);
        Shape shape = tensor.Shape;
        int dimensionCount = shape.DimensionCount;
        Check.Rule("matrix view", dimensionCount >= 2, $"a tensor {shape} is no matrix, two or more dimensions are needed; use Reshape");
        int rows = shape[-2], columns = shape[-1];
        int batchCount = checked((int)shape.ElementCountOf(0, dimensionCount - 2));
        return new MatrixView(tensor, rows, columns, columns, 1, batchCount, (long)rows * columns, 0);
    }

    /// <summary>
    /// Matrices cut out of a tensor's elements, whatever its shape: a block of columns, one head of an attention projection, every other row.
    /// Inputs may have overlapping or repeated rows (even a stride of 0); an output may not.
    /// </summary>
    /// <param name="tensor">The memory.</param>
    /// <param name="rows">Rows of one matrix.</param>
    /// <param name="columns">Columns of one matrix, which lie next to one another.</param>
    /// <param name="rowStride">Elements from a row to the next.</param>
    /// <param name="batchCount">Matrices.</param>
    /// <param name="batchStride">Elements from a matrix to the next.</param>
    /// <param name="offset">Elements before the first one.</param>
    /// <exception cref="ShapeException">A negative size, or elements outside the tensor.</exception>
    public static MatrixView Strided(Tensor tensor, int rows, int columns, long rowStride, int batchCount = 1, long batchStride = 0, long offset = 0)
    {
        ArgumentNullException.ThrowIfNull(tensor);
        MatrixView view = new(tensor, rows, columns, rowStride, 1, batchCount, batchStride, offset);
        bool isNonNegative = rows >= 0 && columns >= 0 && rowStride >= 0 && batchCount >= 0 && batchStride >= 0 && offset >= 0;
        Check.Rule("matrix view", isNonNegative,
            $"rows {rows}, columns {columns}, row stride {rowStride}, batch count {batchCount}, batch stride {batchStride} and offset {offset} must not be negative");
        Check.Rule("matrix view", view.IsEmpty || view.LiesInTensor(),
            $"{batchCount} matrices [{rows}, {columns}] with row stride {rowStride}, batch stride {batchStride} and offset {offset} do not lie in the {tensor.ElementCount} elements of {tensor.Shape}");
        return view;
    }

    /// <summary>The shape as seen: <c>[rows, columns]</c>, or <c>[batch, rows, columns]</c> where the batch is not 1.</summary>
    public override string ToString() => BatchCount == 1 ? $"[{Rows}, {Columns}]" : $"[{BatchCount}, {Rows}, {Columns}]";

    /// <summary>True if no element is visited twice, which an output needs. Matrices may be interleaved row by row (attention heads).</summary>
    internal bool HasDistinctElements
    {
        get
        {
            if (Rows > 1 && RowStride < Columns) return false;
            long matrixSpan = ((Rows - 1) * RowStride) + Columns;
            return BatchCount <= 1 || BatchStride >= matrixSpan
                || (BatchStride >= Columns && (Rows <= 1 || RowStride >= ((BatchCount - 1) * BatchStride) + Columns));
        }
    }

    /// <summary>True if some byte between the view's first and last element is also one of the other's.</summary>
    internal bool Overlaps(MatrixView other) =>
        !IsEmpty && !other.IsEmpty && Overlaps(Tensor, Offset, Span, other.Tensor, other.Offset, other.Span);

    /// <inheritdoc cref="Overlaps(MatrixView)"/>
    internal bool Overlaps(Tensor other) => !IsEmpty && Overlaps(Tensor, Offset, Span, other, 0, other.ElementCount);

    private static bool Overlaps(Tensor left, long leftOffset, long leftCount, Tensor right, long rightOffset, long rightCount)
    {
        if (left.Device != right.Device) return false;
        // An OpenCL buffer has a handle, which only equals itself; elsewhere addresses tell also when two buffers wrap the same memory.
        if (left.Device.Kind == DeviceKind.OpenCl && left.Buffer.Pointer != right.Buffer.Pointer) return false;
        long leftStart = left.Buffer.Pointer + left.OffsetByteCount + (leftOffset * left.DType.ByteSize());
        long rightStart = right.Buffer.Pointer + right.OffsetByteCount + (rightOffset * right.DType.ByteSize());
        return leftStart < rightStart + (rightCount * right.DType.ByteSize()) && rightStart < leftStart + (leftCount * left.DType.ByteSize());
    }

    private bool LiesInTensor()
    {
        Int128 last = Offset + ((Int128)(BatchCount - 1) * BatchStride) + ((Int128)(Rows - 1) * RowStride) + (Columns - 1);
        return last < Tensor.ElementCount;
    }
}
