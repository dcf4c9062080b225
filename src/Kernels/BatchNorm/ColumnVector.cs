using System.Runtime.CompilerServices;

namespace DistTrain.Kernels;

/// <summary>Moves of a vector of columns, of which there may be fewer than lanes; whole vectors take the plain move.</summary>
internal static unsafe class ColumnVector
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Load<V>(float* source, int count) where V : unmanaged, ISimd<V> =>
        count == V.Count ? V.Load(source) : V.LoadPartial(source, count, 0f);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store<V>(V value, float* destination, int count) where V : unmanaged, ISimd<V>
    {
        if (count == V.Count) V.Store(value, destination);
        else V.StorePartial(value, destination, count);
    }
}
