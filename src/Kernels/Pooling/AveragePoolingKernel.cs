namespace DistTrain.Kernels;

/// <summary>Means of windows. 2x2 windows of stride 2, and windows of whole rows (the mean over a plane), run over vectors; others cell by cell.</summary>
internal unsafe struct AveragePoolingKernel : ISimdKernel
{
    public PoolingGeometry Geometry;
    public int PlanesOfItem;
    public float* Output;
    public float* Input;

    public readonly void Run<V>(int item) where V : unmanaged, ISimd<V>
    {
        PoolingGeometry g = Geometry;
        long end = Math.Min(g.PlaneCount, (item + 1L) * PlanesOfItem);
        for (long plane = (long)item * PlanesOfItem; plane < end; plane++)
        {
            float* input = Input + (plane * g.InputPlane), output = Output + (plane * g.OutputPlane);
            for (int y = 0; y < g.OutputHeight; y++, output += g.OutputWidth)
            {
                int x = g.IsHalving ? HalveRow<V>(output, input + (2L * y * g.InputWidth)) : 0;
                for (; x < g.OutputWidth; x++) output[x] = Mean<V>(input, y, x);
            }
        }
    }

    /// <summary>One output row, the last vector overlapping the one before it; rows below one vector take a narrower one. Gives the windows done.</summary>
    private readonly int HalveRow<V>(float* output, float* top) where V : unmanaged, ISimd<V>
    {
        int count = Geometry.OutputWidth;
        if (count < V.Count)
        {
            if (V.Count > Simd256.Count && count >= Simd256.Count) return HalveRow<Simd256>(output, top);
            return V.Count > Simd128.Count && count >= Simd128.Count ? HalveRow<Simd128>(output, top) : 0;
        }
        for (int x = 0; x <= count - V.Count; x += V.Count) Halve<V>(output + x, top + (2 * x));
        if (count % V.Count != 0) Halve<V>(output + count - V.Count, top + (2 * (count - V.Count)));
        return count;
    }

    private readonly void Halve<V>(float* output, float* top) where V : unmanaged, ISimd<V>
    {
        float* bottom = top + Geometry.InputWidth;
        V first = V.Load(top), second = V.Load(top + V.Count), third = V.Load(bottom), fourth = V.Load(bottom + V.Count);
        V sum = V.EvenLanes(first, second) + V.OddLanes(first, second) + V.EvenLanes(third, fourth) + V.OddLanes(third, fourth);
        V.Store(sum * V.Broadcast(0.25f), output);
    }

    private readonly float Mean<V>(float* plane, int y, int x) where V : unmanaged, ISimd<V>
    {
        PoolingGeometry g = Geometry;
        int firstRow = g.FirstRow(y), endRow = g.EndRow(y), firstColumn = g.FirstColumn(x), endColumn = g.EndColumn(x);
        int count = (endRow - firstRow) * (endColumn - firstColumn);
        if (endColumn - firstColumn == g.InputWidth) return Sum<V>(plane + ((long)firstRow * g.InputWidth), count) / count;
        float sum = 0f;
        for (int h = firstRow; h < endRow; h++)
        {
            for (int w = firstColumn; w < endColumn; w++) sum += plane[(h * g.InputWidth) + w];
        }
        return sum / count;
    }

    private static float Sum<V>(float* cells, int count) where V : unmanaged, ISimd<V>
    {
        V sum = V.Zero;
        int i = 0;
        for (; i <= count - V.Count; i += V.Count) sum += V.Load(cells + i);
        return i == count ? V.Sum(sum) : V.Sum(sum + V.LoadPartial(cells + i, count - i, 0f));
    }
}

/// <summary>Each gradient is shared out over its window's cells, plane by plane in row-major order of the windows.</summary>
internal unsafe struct AveragePoolingBackwardKernel : ISimdKernel
{
    public PoolingGeometry Geometry;
    public int PlanesOfItem;
    public float* DInput;
    public float* DOutput;

    public readonly void Run<V>(int item) where V : unmanaged, ISimd<V>
    {
        PoolingGeometry g = Geometry;
        long end = Math.Min(g.PlaneCount, (item + 1L) * PlanesOfItem);
        for (long plane = (long)item * PlanesOfItem; plane < end; plane++)
        {
            float* dInput = DInput + (plane * g.InputPlane), dOutput = DOutput + (plane * g.OutputPlane);
            new Span<float>(dInput, g.InputPlane).Clear();
            for (int y = 0; y < g.OutputHeight; y++)
            {
                int firstRow = g.FirstRow(y), endRow = g.EndRow(y);
                for (int x = 0; x < g.OutputWidth; x++)
                {
                    int first = g.FirstColumn(x), count = g.EndColumn(x) - first;
                    float share = *dOutput++ / ((endRow - firstRow) * count);
                    for (int h = firstRow; h < endRow; h++) Add<V>(dInput + ((long)h * g.InputWidth) + first, share, count);
                }
            }
        }
    }

    private static void Add<V>(float* cells, float share, int count) where V : unmanaged, ISimd<V>
    {
        int i = 0;
        for (; i <= count - V.Count; i += V.Count) V.Store(V.Load(cells + i) + V.Broadcast(share), cells + i);
        for (; i < count; i++) cells[i] += share;
    }
}
