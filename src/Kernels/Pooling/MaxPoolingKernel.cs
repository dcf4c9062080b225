using System.Runtime.CompilerServices;

namespace DistTrain.Kernels;

/// <summary>Maxima and where they lie. 2x2 windows of stride 2 run over vectors; others window by window.</summary>
internal unsafe struct MaxPoolingKernel : ISimdKernel
{
    /// <summary>Places are worked out in f32 lanes, which hold integers up to here exactly.</summary>
    private const int ExactPlane = 1 << 24;

    public PoolingGeometry Geometry;
    public int PlanesOfItem;
    public float* Output;
    public int* Indices;
    public float* Input;

    public readonly void Run<V>(int item) where V : unmanaged, ISimd<V>
    {
        PoolingGeometry g = Geometry;
        long end = Math.Min(g.PlaneCount, (item + 1L) * PlanesOfItem);
        for (long plane = (long)item * PlanesOfItem; plane < end; plane++)
        {
            float* input = Input + (plane * g.InputPlane), output = Output + (plane * g.OutputPlane);
            int* indices = Indices + (plane * g.OutputPlane);
            for (int y = 0; y < g.OutputHeight; y++, output += g.OutputWidth, indices += g.OutputWidth)
            {
                int x = 0;
                if (g.IsHalving && g.InputPlane <= ExactPlane) x = HalveRow<V>(output, indices, input, y);
                for (; x < g.OutputWidth; x++) output[x] = input[indices[x] = PlaceOfMaximum(input, y, x)];
            }
        }
    }

    /// <summary>
    /// One output row, the last vector overlapping the one before it; rows below one vector take a narrower one. Gives the windows done:
    /// all, or none in rows below the narrowest vector.
    /// </summary>
    private readonly int HalveRow<V>(float* output, int* indices, float* input, int y) where V : unmanaged, ISimd<V>
    {
        int count = Geometry.OutputWidth;
        if (count < V.Count)
        {
            if (V.Count > Simd256.Count && count >= Simd256.Count) return HalveRow<Simd256>(output, indices, input, y);
            return V.Count > Simd128.Count && count >= Simd128.Count ? HalveRow<Simd128>(output, indices, input, y) : 0;
        }
        int firstPlace = 2 * y * Geometry.InputWidth;
        float* ramp = stackalloc float[16];
        for (int lane = 0; lane < V.Count; lane++) ramp[lane] = 2 * lane;
        V lanes = V.Load(ramp);
        for (int x = 0; x <= count - V.Count; x += V.Count) Halve(output, indices, input, x, lanes, firstPlace);
        if (count % V.Count != 0) Halve(output, indices, input, count - V.Count, lanes, firstPlace);
        return count;
    }

    /// <summary>One vector of windows, whose upper row starts at <paramref name="firstPlace"/> of the plane.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private readonly void Halve<V>(float* output, int* indices, float* input, int x, V lanes, int firstPlace) where V : unmanaged, ISimd<V>
    {
        int width = Geometry.InputWidth;
        float* top = input + firstPlace + (2 * x), bottom = top + width;
        V place = lanes + V.Broadcast(firstPlace + (2 * x)), first = V.Load(top), second = V.Load(top + V.Count);
        V best = V.EvenLanes(first, second), bestPlace = place;
        Challenge(V.OddLanes(first, second), place + V.Broadcast(1f), ref best, ref bestPlace);
        first = V.Load(bottom);
        second = V.Load(bottom + V.Count);
        Challenge(V.EvenLanes(first, second), place + V.Broadcast(width), ref best, ref bestPlace);
        Challenge(V.OddLanes(first, second), place + V.Broadcast(width + 1), ref best, ref bestPlace);
        V.Store(best, output + x);
        V.StoreIntegers(bestPlace, indices + x);
    }

    /// <summary>A candidate wins where it is larger, or where it is NaN and the best so far is not.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Challenge<V>(V candidate, V place, ref V best, ref V bestPlace) where V : unmanaged, ISimd<V>
    {
        V wins = V.Select(V.EqualTo(candidate, candidate), V.GreaterThan(candidate, best), V.EqualTo(best, best));
        best = V.Select(wins, candidate, best);
        bestPlace = V.Select(wins, place, bestPlace);
    }

    private readonly int PlaceOfMaximum(float* plane, int y, int x)
    {
        PoolingGeometry g = Geometry;
        int endRow = g.EndRow(y), firstColumn = g.FirstColumn(x), endColumn = g.EndColumn(x);
        int place = (g.FirstRow(y) * g.InputWidth) + firstColumn;
        float best = plane[place];
        for (int h = g.FirstRow(y); h < endRow; h++)
        {
            for (int w = firstColumn; w < endColumn; w++)
            {
                float cell = plane[(h * g.InputWidth) + w];
                if (!(cell > best) && (!float.IsNaN(cell) || float.IsNaN(best))) continue;
                best = cell;
                place = (h * g.InputWidth) + w;
            }
        }
        return place;
    }
}

/// <summary>Each gradient goes to the cell that won its window, plane by plane in row-major order of the windows.</summary>
internal unsafe struct MaxPoolingBackwardKernel : ISimdKernel
{
    public PoolingGeometry Geometry;
    public int PlanesOfItem;
    public float* DInput;
    public float* DOutput;
    public int* Indices;

    public readonly void Run<V>(int item) where V : unmanaged, ISimd<V>
    {
        int inputPlane = Geometry.InputPlane, outputPlane = Geometry.OutputPlane;
        long end = Math.Min(Geometry.PlaneCount, (item + 1L) * PlanesOfItem);
        for (long plane = (long)item * PlanesOfItem; plane < end; plane++)
        {
            float* dInput = DInput + (plane * inputPlane), dOutput = DOutput + (plane * outputPlane);
            int* indices = Indices + (plane * outputPlane);
            new Span<float>(dInput, inputPlane).Clear();
            for (int i = 0; i < outputPlane; i++)
            {
                int place = indices[i];
                if ((uint)place >= (uint)inputPlane) Pooling2dReference.ThrowPlace((plane * outputPlane) + i, place, Geometry);
                dInput[place] += dOutput[i];
            }
        }
    }
}
