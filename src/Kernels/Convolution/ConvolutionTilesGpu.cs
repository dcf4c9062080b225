using ILGPU;
using ILGPU.Runtime;

namespace DistTrain.Kernels;

/// <summary>
/// Tiled products on GPUs: a group of threads works out one tile of one group's result, each thread 4 by 4 elements of it, with the factors
/// staged in group memory. Depth may be cut into slices, each with a result of its own, which are added in order afterwards.
/// </summary>
internal static class ConvolutionTilesGpu
{
    /// <summary>Threads on a side of a tile, and the depth staged at once: 16, or 4 on the emulator.</summary>
    private static int SideOf(GpuDevice gpu) => gpu.GroupSize >= 256 ? 16 : 4;

    /// <param name="gpu">The device.</param>
    /// <param name="stream">The stream.</param>
    /// <param name="result">Receives the product; with slices, one result after another.</param>
    /// <param name="left">The left factor's tensor.</param>
    /// <param name="right">The right factor's tensor.</param>
    /// <param name="bias">One a row and group, or null.</param>
    /// <param name="geometry">The convolution.</param>
    /// <param name="sliceDepth">Depth of one slice.</param>
    /// <param name="sliceCount">Slices in all.</param>
    public static void Run<TProduct, TActivation, TLeft, TLeftElement, TRight, TRightElement>(
        GpuDevice gpu, ExecutionStream stream, Tensor result, Tensor left, Tensor right, Tensor? bias, in ConvolutionGeometry geometry,
        int sliceDepth, int sliceCount)
        where TProduct : unmanaged, IConvolutionProduct where TActivation : unmanaged, IUnaryOperator
        where TLeft : unmanaged where TLeftElement : unmanaged, IGpuElement<TLeft>
        where TRight : unmanaged where TRightElement : unmanaged, IGpuElement<TRight>
    {
        TProduct product = default;
        int side = SideOf(gpu), tile = 4 * side;
        ConvolutionTiles tiles = new(
            (product.Rows(geometry) + tile - 1) / tile, (product.Columns(geometry) + tile - 1) / tile, sliceDepth,
            result.ElementCount / sliceCount, bias is null ? 0 : 1);
        gpu.Kernel(static accelerator =>
            accelerator.LoadKernel<ArrayView<float>, ArrayView<TLeft>, ArrayView<TRight>, ArrayView<float>, ConvolutionTiles, ConvolutionGeometry>(
                Kernel<TProduct, TActivation, TLeft, TLeftElement, TRight, TRightElement>))(
            GpuDevice.Native(stream), new KernelConfig(checked(tiles.RowTiles * tiles.ColumnTiles * geometry.Groups * sliceCount), side * side),
            GpuDevice.View<float>(result), GpuDevice.View<TLeft>(left), GpuDevice.View<TRight>(right), GpuDevice.View<float>(bias ?? result),
            tiles, geometry);
    }

    private static void Kernel<TProduct, TActivation, TLeft, TLeftElement, TRight, TRightElement>(
        ArrayView<float> result, ArrayView<TLeft> left, ArrayView<TRight> right, ArrayView<float> bias, ConvolutionTiles tiles, ConvolutionGeometry g)
        where TProduct : unmanaged, IConvolutionProduct where TActivation : unmanaged, IUnaryOperator
        where TLeft : unmanaged where TLeftElement : unmanaged, IGpuElement<TLeft>
        where TRight : unmanaged where TRightElement : unmanaged, IGpuElement<TRight>
    {
        ArrayView<float> lefts = SharedMemory.Allocate<float>(1024), rights = SharedMemory.Allocate<float>(1024);
        TProduct product = default;
        int side = Group.DimX == 256 ? 16 : 4, tile = 4 * side, thread = Group.IdxX, tx = thread % side, ty = thread / side;
        int index = Grid.IdxX, columnTile = index % tiles.ColumnTiles, rowTile = index / tiles.ColumnTiles % tiles.RowTiles;
        int plane = index / tiles.ColumnTiles / tiles.RowTiles, group = plane % g.Groups, slice = plane / g.Groups;
        int rows = product.Rows(g), columns = product.Columns(g), firstRow = rowTile * tile, firstColumn = columnTile * tile;
        int end = Math.Min(product.Depth(g), (slice + 1) * tiles.SliceDepth);
        float a0 = 0f, a1 = 0f, a2 = 0f, a3 = 0f, b0 = 0f, b1 = 0f, b2 = 0f, b3 = 0f;
        float c0 = 0f, c1 = 0f, c2 = 0f, c3 = 0f, d0 = 0f, d1 = 0f, d2 = 0f, d3 = 0f;
        for (int depth = slice * tiles.SliceDepth; depth < end; depth += side)
        {
            for (int i = thread; i < tile * side; i += Group.DimX)
            {
                int row = firstRow + (i / side), k = depth + (i % side), column = firstColumn + (i % tile), k2 = depth + (i / tile);
                lefts[(i % side * tile) + (i / side)] = row < rows && k < end ? product.Left<TLeft, TLeftElement>(left, g, group, row, k) : 0f;
                rights[i] = column < columns && k2 < end ? product.Right<TRight, TRightElement>(right, g, group, k2, column) : 0f;
            }
            Group.Barrier();
            for (int k = 0; k < side; k++)
            {
                int l = (k * tile) + (4 * ty), r = (k * tile) + tx;
                float x = lefts[l], y = lefts[l + 1], z = lefts[l + 2], w = lefts[l + 3], v = rights[r];
                a0 += x * v; b0 += y * v; c0 += z * v; d0 += w * v;
                v = rights[r + side];
                a1 += x * v; b1 += y * v; c1 += z * v; d1 += w * v;
                v = rights[r + (2 * side)];
                a2 += x * v; b2 += y * v; c2 += z * v; d2 += w * v;
                v = rights[r + (3 * side)];
                a3 += x * v; b3 += y * v; c3 += z * v; d3 += w * v;
            }
            Group.Barrier();
        }
        long first = slice * tiles.SliceStride;
        int r0 = firstRow + (4 * ty), c = firstColumn + tx;
        WriteRow<TProduct, TActivation>(result, first, bias, tiles, g, group, r0, c, side, a0, a1, a2, a3);
        WriteRow<TProduct, TActivation>(result, first, bias, tiles, g, group, r0 + 1, c, side, b0, b1, b2, b3);
        WriteRow<TProduct, TActivation>(result, first, bias, tiles, g, group, r0 + 2, c, side, c0, c1, c2, c3);
        WriteRow<TProduct, TActivation>(result, first, bias, tiles, g, group, r0 + 3, c, side, d0, d1, d2, d3);
    }

    private static void WriteRow<TProduct, TActivation>(
        ArrayView<float> result, long first, ArrayView<float> bias, ConvolutionTiles tiles, ConvolutionGeometry g, int group, int row, int column,
        int side, float v0, float v1, float v2, float v3)
        where TProduct : unmanaged, IConvolutionProduct where TActivation : unmanaged, IUnaryOperator
    {
        TProduct product = default;
        TActivation activation = default;
        int rows = product.Rows(g), columns = product.Columns(g);
        if (row >= rows) return;
        float offset = 0f;
        if (tiles.HasBias != 0) offset = bias[(group * rows) + row];
        if (column < columns) result[first + product.Target(g, group, row, column)] = activation.Apply(v0 + offset);
        if (column + side < columns) result[first + product.Target(g, group, row, column + side)] = activation.Apply(v1 + offset);
        if (column + (2 * side) < columns) result[first + product.Target(g, group, row, column + (2 * side))] = activation.Apply(v2 + offset);
        if (column + (3 * side) < columns) result[first + product.Target(g, group, row, column + (3 * side))] = activation.Apply(v3 + offset);
    }
}

/// <summary>How a product is cut into tiles and slices, as kernels take it by value.</summary>
internal readonly struct ConvolutionTiles(int rowTiles, int columnTiles, int sliceDepth, long sliceStride, int hasBias)
{
    public readonly int RowTiles = rowTiles, ColumnTiles = columnTiles, SliceDepth = sliceDepth, HasBias = hasBias;
    public readonly long SliceStride = sliceStride;
}
