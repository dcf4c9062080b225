using System.Runtime.CompilerServices;

namespace DistTrain.Kernels;

/// <summary>Adds biases to a finished tile, still in the nearest cache, and applies the activation.</summary>
internal static unsafe class MatMulEpilogueLoop
{
    /// <param name="tile">The first element; its rows are <paramref name="stride"/> elements apart.</param>
    /// <param name="stride">Elements from a row to the next.</param>
    /// <param name="rows">Rows.</param>
    /// <param name="columns">Columns.</param>
    /// <param name="columnBias">The bias of the tile's first column, or null.</param>
    /// <param name="rowBias">The bias of the tile's first row, or null.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Apply<V, TOperator>(float* tile, long stride, int rows, int columns, float* columnBias, float* rowBias)
        where V : unmanaged, ISimd<V> where TOperator : unmanaged, IUnaryOperator
    {
        TOperator activation = default;
        for (int i = 0; i < rows; i++, tile += stride)
        {
            V rowShift = rowBias == null ? V.Zero : V.Broadcast(rowBias[i]);
            int j = 0;
            for (; j <= columns - V.Count; j += V.Count)
            {
                V x = V.Load(tile + j);
                if (rowBias != null) x += rowShift;
                if (columnBias != null) x += V.Load(columnBias + j);
                V.Store(activation.Apply(x), tile + j);
            }
            if (j == columns) continue;
            V rest = V.LoadPartial(tile + j, columns - j, 0f);
            if (rowBias != null) rest += rowShift;
            if (columnBias != null) rest += V.LoadPartial(columnBias + j, columns - j, 0f);
            V.StorePartial(activation.Apply(rest), tile + j, columns - j);
        }
    }
}
