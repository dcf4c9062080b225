namespace DistTrain.Kernels;

/// <summary>Where a chunk's result goes: into the scratch of partial results, or, where there is one chunk only, finished into the output.</summary>
internal unsafe struct ReductionEnd<TReducer>(float* output, float divisor, bool accumulate, bool isOnlyChunk) where TReducer : unmanaged, IReducer
{
    /// <summary>The output, or the scratch.</summary>
    public float* Target = output;
    private readonly float* _output = output;
    private readonly float _divisor = divisor;
    private readonly bool _accumulate = accumulate, _isOnlyChunk = isOnlyChunk;

    public readonly void Put(long index, float partial)
    {
        if (_isOnlyChunk) Finish(index, partial);
        else Target[index] = partial;
    }

    public readonly void Put<V>(long index, V partial) where V : unmanaged, ISimd<V>
    {
        if (_isOnlyChunk) Finish(index, partial);
        else V.Store(partial, Target + index);
    }

    public readonly void Finish<V>(long index, V partial) where V : unmanaged, ISimd<V>
    {
        V result = default(TReducer).Finish(partial, V.Broadcast(_divisor));
        V.Store(_accumulate ? V.Load(_output + index) + result : result, _output + index);
    }

    public readonly void Finish(long index, float partial)
    {
        float result = default(TReducer).Finish(partial, _divisor);
        _output[index] = _accumulate ? _output[index] + result : result;
    }
}
