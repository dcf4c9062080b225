namespace DistTrain.Kernels;

/// <summary>
/// The innermost loop of a matrix product: a tile of the output held in registers while depth runs. Each element is one chain of fused
/// multiply-adds over ascending depth that starts from zero or from what the output holds, so every kernel gives equal bits.
/// </summary>
internal unsafe interface IMatMulMicroKernel
{
    /// <summary>Rows of a tile: the width of a left panel.</summary>
    static abstract int Rows { get; }

    /// <summary>Columns of a tile: the width of a right panel.</summary>
    static abstract int Columns { get; }

    /// <summary>The width of the last right panel is rounded up to a multiple of this.</summary>
    static abstract int ColumnStep { get; }

    /// <summary>
    /// c (+)= a · b for <see cref="Rows"/> rows and <paramref name="width"/> columns, all of which are written.
    /// </summary>
    /// <param name="depth">Products per element; 0 is allowed.</param>
    /// <param name="rows">Rows that a has, at least 1; missing ones repeat the last, and their results mean nothing.</param>
    /// <param name="a">Element (i, k) lies at a[i aRowStride + k aStep]: (1, Rows) for a packed panel, (stride, 1) for a matrix in place.</param>
    /// <param name="aRowStride">Elements from a row of a to the next.</param>
    /// <param name="aStep">Elements from a depth to the next in a.</param>
    /// <param name="b">Element (k, j) lies at b[k bStep + j]; all <paramref name="width"/> columns are read.</param>
    /// <param name="bStep">Elements from a depth to the next in b; <paramref name="width"/> for a packed panel.</param>
    /// <param name="width">Columns: a multiple of <see cref="ColumnStep"/>, at most <see cref="Columns"/>.</param>
    /// <param name="c">The tile's first element.</param>
    /// <param name="cStride">Elements from a row of the output to the next.</param>
    /// <param name="load">The chains start from what c holds rather than from zero.</param>
    static abstract void Run(
        int depth, int rows, float* a, long aRowStride, long aStep, float* b, long bStep, int width, float* c, long cStride, bool load);

    /// <summary>
    /// As <see cref="Run"/> for a whole tile of a right operand in place, writing the right panel to <paramref name="packed"/> on the way:
    /// the stores hide behind the multiply-adds, so packing costs next to nothing.
    /// </summary>
    static abstract void RunPacking(
        int depth, float* a, long aRowStride, long aStep, float* b, long bStep, float* packed, float* c, long cStride, bool load);
}
