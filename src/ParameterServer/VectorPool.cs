using System.Collections.Concurrent;

namespace DistTrain.ParameterServer;

/// <summary>Vectors of the server's variables that calls in progress use: as many as there are such calls, whatever the number of connections.</summary>
internal sealed class VectorPool
{
    private const int KeptCount = 64;
    private readonly ConcurrentBag<float[]> _free = [];

    /// <summary>A vector of so many elements, with whatever is in it.</summary>
    internal Lease Rent(long elementCount)
    {
        while (_free.TryTake(out float[]? vector))
            if (vector.Length == elementCount) return new Lease(this, vector);
        return new Lease(this, GC.AllocateUninitializedArray<float>(checked((int)elementCount)));
    }

    /// <summary>A vector in use.</summary>
    internal readonly struct Lease(VectorPool pool, float[] vector) : IDisposable
    {
        internal Memory<float> Memory => vector;

        public void Dispose()
        {
            if (pool._free.Count < KeptCount) pool._free.Add(vector);
        }
    }
}
