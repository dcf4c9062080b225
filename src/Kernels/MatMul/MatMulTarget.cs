namespace DistTrain.Kernels;

/// <summary>The sizes of a (batched) product: left [batches, rows, depth], right [batches, depth, columns].</summary>
internal readonly record struct MatMulSize(int Batches, int Rows, int Columns, int Depth);

/// <summary>Where a product goes, and what is done to it on the way: the elements of a row lie next to one another.</summary>
internal unsafe struct MatMulTarget
{
    public float* Output;
    public int Rows;
    public long RowStride;
    public long BatchStride;

    /// <summary>The chains start from what the output holds.</summary>
    public bool Accumulate;

    /// <summary>[columns], or null.</summary>
    public float* ColumnBias;

    /// <summary>[RowBiasPeriod, rows], or null: matrix b uses entry b % RowBiasPeriod (the groups of a convolution).</summary>
    public float* RowBias;
    public int RowBiasPeriod;

    public readonly float* At(int batch, int row, int column) => Output + (batch * BatchStride) + (row * RowStride) + column;
}
