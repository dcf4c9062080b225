using ILGPU;
using ILGPU.Algorithms;
using ILGPU.Runtime;

namespace DistTrain.Kernels;

/// <summary>
/// A group has a tile of 16 queries (or keys) of one (batch, head) pair; scores of a 16 × 16 tile, and the tile's sums over D, live in group
/// memory. Operands pass through group memory in chunks of 32 of D.
/// </summary>
internal static class AttentionGpu
{
    private const int Tile = 16;
    private const int Chunk = 32;
    private const int ChunkStride = Chunk + 1; // off the power of two: neighbours in a column lie in different banks
    private const int SumSize = Tile * Attention.MaxHeadSize;

    public static void Forward(GpuDevice gpu, ExecutionStream stream, AttentionLayout layout, Tensor output, Tensor logSumExp, Tensor query, Tensor key, Tensor value, Tensor? keyLengths)
    {
        gpu.Kernel(static accelerator => accelerator.LoadKernel<ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<float>,
            ArrayView<float>, ArrayView<int>, AttentionSizes>(ForwardKernel))(
            GpuDevice.Native(stream), Groups(gpu, layout, layout.Queries),
            GpuDevice.View<float>(output), GpuDevice.View<float>(logSumExp), GpuDevice.View<float>(query), GpuDevice.View<float>(key),
            GpuDevice.View<float>(value), Lengths(keyLengths, logSumExp), new AttentionSizes(layout));
    }

    public static void Backward(GpuDevice gpu, ExecutionStream stream, AttentionLayout layout, AttentionGradients gradients, Tensor query, Tensor key, Tensor value, Tensor? keyLengths)
    {
        AttentionSizes sizes = new(layout);
        using Tensor means = Tensor.Allocate(stream, layout.PerQuery);
        gpu.Kernel(static accelerator => accelerator.LoadKernel<ArrayView<float>, ArrayView<float>, ArrayView<float>, AttentionSizes>(MeanKernel))(
            GpuDevice.Native(stream), gpu.GridFor(means.ElementCount),
            GpuDevice.View<float>(means), GpuDevice.View<float>(gradients.DOutput), GpuDevice.View<float>(gradients.Output), sizes);
        gpu.Kernel(static accelerator => accelerator.LoadKernel<ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<float>,
            ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<int>, AttentionSizes>(QueryGradientKernel))(
            GpuDevice.Native(stream), Groups(gpu, layout, layout.Queries),
            GpuDevice.View<float>(gradients.DQuery), GpuDevice.View<float>(gradients.DOutput), GpuDevice.View<float>(gradients.LogSumExp),
            GpuDevice.View<float>(means), GpuDevice.View<float>(query), GpuDevice.View<float>(key), GpuDevice.View<float>(value),
            Lengths(keyLengths, means), sizes);
        gpu.Kernel(static accelerator => accelerator.LoadKernel<ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<float>,
            ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<int>, AttentionSizes>(KeyGradientKernel))(
            GpuDevice.Native(stream), Groups(gpu, layout, layout.Keys),
            GpuDevice.View<float>(gradients.DKey), GpuDevice.View<float>(gradients.DValue), GpuDevice.View<float>(gradients.DOutput),
            GpuDevice.View<float>(gradients.LogSumExp), GpuDevice.View<float>(means), GpuDevice.View<float>(query), GpuDevice.View<float>(key),
            GpuDevice.View<float>(value), Lengths(keyLengths, means), sizes);
    }

    private static KernelConfig Groups(GpuDevice gpu, AttentionLayout layout, int positions) =>
        new(checked(layout.PairCount * ((positions + Tile - 1) / Tile)), gpu.GroupSize);

    /// <summary>Absent lengths are an empty view; kernels need some memory behind it.</summary>
    private static ArrayView<int> Lengths(Tensor? keyLengths, Tensor any) =>
        keyLengths is null ? GpuDevice.View<int>(any).SubView(0, 0) : GpuDevice.View<int>(keyLengths);

    private static void ForwardKernel(
        ArrayView<float> output, ArrayView<float> logSumExp, ArrayView<float> query, ArrayView<float> key, ArrayView<float> value,
        ArrayView<int> lengths, AttentionSizes sizes)
    {
        ArrayView<float> sums = SharedMemory.Allocate<float>(SumSize), left = SharedMemory.Allocate<float>(Tile * ChunkStride);
        ArrayView<float> right = SharedMemory.Allocate<float>(Tile * ChunkStride), scores = SharedMemory.Allocate<float>(Tile * Tile);
        ArrayView<float> largest = SharedMemory.Allocate<float>(Tile), total = SharedMemory.Allocate<float>(Tile), shrink = SharedMemory.Allocate<float>(Tile);
        int tiles = (sizes.Queries + Tile - 1) / Tile, pair = Grid.IdxX / tiles, first = (Grid.IdxX % tiles) * Tile;
        int length = sizes.Length(lengths, pair), rows = XMath.Min(Tile, sizes.Queries - first);
        for (int i = Group.IdxX; i < SumSize; i += Group.DimX) sums[i] = 0;
        for (int i = Group.IdxX; i < Tile; i += Group.DimX)
        {
            largest[i] = float.NegativeInfinity;
            total[i] = 0;
        }
        int end = sizes.Visible(first + rows - 1, length);
        for (int start = 0; start < end; start += Tile)
        {
            int columns = XMath.Min(Tile, length - start);
            Products(scores, left, right, query, sizes.QueryStart(pair, first), rows, key, sizes.KeyStart(pair, start), columns, sizes);
            for (int i = Group.IdxX; i < rows; i += Group.DimX)
            {
                int visible = XMath.Clamp(sizes.Visible(first + i, length) - start, 0, columns);
                float before = largest[i], now = before, sum = 0;
                for (int j = 0; j < visible; j++) now = XMath.Max(now, scores[(i * Tile) + j] * sizes.Scale);
                for (int j = 0; j < Tile; j++)
                {
                    float p = j < visible ? XMath.Exp((scores[(i * Tile) + j] * sizes.Scale) - now) : 0f;
                    scores[(i * Tile) + j] = p;
                    sum += p;
                }
                float factor = visible > 0 && now != before ? XMath.Exp(before - now) : 1f;
                shrink[i] = factor;
                total[i] = (total[i] * factor) + sum;
                largest[i] = now;
            }
            Group.Barrier();
            for (int i = Group.IdxX; i < rows * sizes.HeadSize; i += Group.DimX) sums[i] *= shrink[i / sizes.HeadSize];
            AddProducts(sums, scores, Tile, 1, right, value, sizes.KeyStart(pair, start), columns, sizes);
        }
        Group.Barrier();
        for (int i = Group.IdxX; i < rows * sizes.HeadSize; i += Group.DimX)
        {
            int row = i / sizes.HeadSize;
            bool isSeen = sizes.Visible(first + row, length) > 0;
            output[sizes.QueryStart(pair, first) + ((long)row * sizes.RowStride) + (i % sizes.HeadSize)] = isSeen ? sums[i] / total[row] : 0f;
        }
        for (int i = Group.IdxX; i < rows; i += Group.DimX)
        {
            logSumExp[((long)pair * sizes.Queries) + first + i] =
                sizes.Visible(first + i, length) > 0 ? largest[i] + XMath.Log(total[i]) : float.NegativeInfinity;
        }
    }

    /// <summary>mean[query] = Σ dOutput · output: what the softmax's gradient subtracts (D in the paper).</summary>
    private static void MeanKernel(ArrayView<float> means, ArrayView<float> dOutput, ArrayView<float> output, AttentionSizes sizes)
    {
        for (long i = Grid.GlobalLinearIndex; i < means.Length; i += (long)Grid.DimX * Group.DimX)
        {
            long start = sizes.QueryStart((int)(i / sizes.Queries), (int)(i % sizes.Queries));
            float sum = 0;
            for (int d = 0; d < sizes.HeadSize; d++) sum += dOutput[start + d] * output[start + d];
            means[i] = sum;
        }
    }

    private static void QueryGradientKernel(
        ArrayView<float> dQuery, ArrayView<float> dOutput, ArrayView<float> logSumExp, ArrayView<float> means,
        ArrayView<float> query, ArrayView<float> key, ArrayView<float> value, ArrayView<int> lengths, AttentionSizes sizes)
    {
        ArrayView<float> sums = SharedMemory.Allocate<float>(SumSize), left = SharedMemory.Allocate<float>(Tile * ChunkStride);
        ArrayView<float> right = SharedMemory.Allocate<float>(Tile * ChunkStride), scores = SharedMemory.Allocate<float>(Tile * Tile);
        ArrayView<float> slopes = SharedMemory.Allocate<float>(Tile * Tile);
        int tiles = (sizes.Queries + Tile - 1) / Tile, pair = Grid.IdxX / tiles, first = (Grid.IdxX % tiles) * Tile;
        int length = sizes.Length(lengths, pair), rows = XMath.Min(Tile, sizes.Queries - first);
        for (int i = Group.IdxX; i < SumSize; i += Group.DimX) sums[i] = 0;
        int end = sizes.Visible(first + rows - 1, length);
        for (int start = 0; start < end; start += Tile)
        {
            int columns = XMath.Min(Tile, length - start);
            Products(scores, left, right, query, sizes.QueryStart(pair, first), rows, key, sizes.KeyStart(pair, start), columns, sizes);
            Products(slopes, left, right, dOutput, sizes.QueryStart(pair, first), rows, value, sizes.KeyStart(pair, start), columns, sizes);
            ScoreGradients(scores, slopes, logSumExp, means, pair, first, rows, start, length, sizes);
            AddProducts(sums, slopes, Tile, 1, right, key, sizes.KeyStart(pair, start), columns, sizes);
        }
        Group.Barrier();
        for (int i = Group.IdxX; i < rows * sizes.HeadSize; i += Group.DimX)
            dQuery[sizes.QueryStart(pair, first) + ((long)(i / sizes.HeadSize) * sizes.RowStride) + (i % sizes.HeadSize)] = sums[i] * sizes.Scale;
    }

    private static void KeyGradientKernel(
        ArrayView<float> dKey, ArrayView<float> dValue, ArrayView<float> dOutput, ArrayView<float> logSumExp, ArrayView<float> means,
        ArrayView<float> query, ArrayView<float> key, ArrayView<float> value, ArrayView<int> lengths, AttentionSizes sizes)
    {
        ArrayView<float> keySums = SharedMemory.Allocate<float>(SumSize), valueSums = SharedMemory.Allocate<float>(SumSize);
        ArrayView<float> left = SharedMemory.Allocate<float>(Tile * ChunkStride), right = SharedMemory.Allocate<float>(Tile * ChunkStride);
        ArrayView<float> scores = SharedMemory.Allocate<float>(Tile * Tile), slopes = SharedMemory.Allocate<float>(Tile * Tile);
        int tiles = (sizes.Keys + Tile - 1) / Tile, pair = Grid.IdxX / tiles, first = (Grid.IdxX % tiles) * Tile;
        int length = sizes.Length(lengths, pair), columns = XMath.Min(Tile, length - first);
        for (int i = Group.IdxX; i < SumSize; i += Group.DimX)
        {
            keySums[i] = 0;
            valueSums[i] = 0;
        }
        // The first query that sees the tile's first key; keys beyond the length have none.
        int seenFrom = sizes.IsCausal != 0 ? XMath.Max(0, first - sizes.Keys + sizes.Queries) / Tile * Tile : 0;
        int end = sizes.Queries * XMath.Clamp(columns, 0, 1);
        for (int start = seenFrom; start < end; start += Tile)
        {
            int rows = XMath.Min(Tile, sizes.Queries - start);
            Products(scores, left, right, query, sizes.QueryStart(pair, start), rows, key, sizes.KeyStart(pair, first), columns, sizes);
            Products(slopes, left, right, dOutput, sizes.QueryStart(pair, start), rows, value, sizes.KeyStart(pair, first), columns, sizes);
            ScoreGradients(scores, slopes, logSumExp, means, pair, start, rows, first, length, sizes);
            AddProducts(valueSums, scores, 1, Tile, right, dOutput, sizes.QueryStart(pair, start), rows, sizes);
            AddProducts(keySums, slopes, 1, Tile, right, query, sizes.QueryStart(pair, start), rows, sizes);
        }
        Group.Barrier();
        for (int i = Group.IdxX; i < XMath.Min(Tile, sizes.Keys - first) * sizes.HeadSize; i += Group.DimX)
        {
            long place = sizes.KeyStart(pair, first) + ((long)(i / sizes.HeadSize) * sizes.RowStride) + (i % sizes.HeadSize);
            dKey[place] = keySums[i] * sizes.Scale;
            dValue[place] = valueSums[i];
        }
    }

    /// <summary>products[i, j] = row i of a · row j of b over D. Entries beyond rows and columns hold 0.</summary>
    private static void Products(
        ArrayView<float> products, ArrayView<float> left, ArrayView<float> right,
        ArrayView<float> a, long aStart, int rows, ArrayView<float> b, long bStart, int columns, AttentionSizes sizes)
    {
        Group.Barrier();
        for (int i = Group.IdxX; i < Tile * Tile; i += Group.DimX) products[i] = 0;
        for (int d = 0; d < sizes.HeadSize; d += Chunk)
        {
            int depth = XMath.Min(Chunk, sizes.HeadSize - d);
            Group.Barrier();
            Load(left, a, aStart + d, rows, depth, sizes.RowStride);
            Load(right, b, bStart + d, columns, depth, sizes.RowStride);
            Group.Barrier();
            for (int i = Group.IdxX; i < Tile * Tile; i += Group.DimX)
            {
                int row = (i / Tile) * ChunkStride, column = (i % Tile) * ChunkStride;
                float sum = products[i];
                for (int k = 0; k < Chunk; k++) sum += left[row + k] * right[column + k];
                products[i] = sum;
            }
        }
        Group.Barrier();
    }

    /// <summary>sums[i, d] += Σ over k of factors[i · rowStride + k · stepStride] · row k of b, for all rows of the tile: factors of absent rows are 0.
    /// (A loop over the rows there are would save nothing where tiles are full, and PoCL 3.1 compiles it wrongly.)</summary>
    private static void AddProducts(
        ArrayView<float> sums, ArrayView<float> factors, int rowStride, int stepStride,
        ArrayView<float> right, ArrayView<float> b, long bStart, int steps, AttentionSizes sizes)
    {
        for (int d = 0; d < sizes.HeadSize; d += Chunk)
        {
            int width = XMath.Min(Chunk, sizes.HeadSize - d);
            Group.Barrier();
            Load(right, b, bStart + d, steps, width, sizes.RowStride);
            Group.Barrier();
            for (int i = Group.IdxX; i < Tile * Chunk; i += Group.DimX)
            {
                int row = i / Chunk, column = i % Chunk;
                if (column >= width) continue;
                float sum = sums[(row * sizes.HeadSize) + d + column];
                for (int k = 0; k < steps; k++) sum += factors[(row * rowStride) + (k * stepStride)] * right[(k * ChunkStride) + column];
                sums[(row * sizes.HeadSize) + d + column] = sum;
            }
        }
    }

    private static void Load(ArrayView<float> tile, ArrayView<float> source, long start, int rows, int width, int rowStride)
    {
        for (int i = Group.IdxX; i < Tile * Chunk; i += Group.DimX)
        {
            int row = i / Chunk, column = i % Chunk;
            bool isInside = row < rows && column < width;
            tile[(row * ChunkStride) + column] = isInside ? source[start + ((long)row * rowStride) + column] : 0f;
        }
    }

    /// <summary>Turns scores into probabilities P, and slopes (dOutput · value) into P · (slope - mean): the scores' gradients, unscaled.</summary>
    private static void ScoreGradients(
        ArrayView<float> scores, ArrayView<float> slopes, ArrayView<float> logSumExp, ArrayView<float> means,
        int pair, int firstQuery, int rows, int firstKey, int length, AttentionSizes sizes)
    {
        for (int i = Group.IdxX; i < Tile * Tile; i += Group.DimX)
        {
            int row = i / Tile, query = firstQuery + row;
            bool isSeen = row < rows && firstKey + (i % Tile) < sizes.Visible(query, length);
            long place = ((long)pair * sizes.Queries) + (row < rows ? query : firstQuery);
            float probability = isSeen ? XMath.Exp((scores[i] * sizes.Scale) - logSumExp[place]) : 0f;
            scores[i] = probability;
            slopes[i] = isSeen ? probability * (slopes[i] - means[place]) : 0f;
        }
        Group.Barrier();
    }
}
