using System.Numerics;
using DistTrain.Kernels;

namespace DistTrain.Collectives;

/// <summary>Runs <see cref="DoubleBinaryTreePlan"/>, cut into as many chunks as the size is worth. A plan is made when the first call needs it and is kept: there are seven.</summary>
/// <param name="transport">Carries the messages.</param>
/// <param name="segmentByteCount">Bytes of a chunk; 0: <see cref="DoubleBinaryTreePlan.DefaultSegmentByteCount"/>.</param>
internal sealed class DoubleTreeAllReduce(ITransport transport, int segmentByteCount) : IDisposable
{
    private readonly PlannedAllReduce?[] _plans = new PlannedAllReduce?[BitOperations.Log2(DoubleBinaryTreePlan.MostChunksPerTree) + 1];

    internal void Run(in HostCall call)
    {
        int chunks = DoubleBinaryTreePlan.ChunksPerTree(transport.WorldSize, (double)call.ElementCount * call.DType.ByteSize(), segmentByteCount);
        (_plans[BitOperations.Log2((uint)chunks)] ??= new PlannedAllReduce(transport, DoubleBinaryTreePlan.Create(transport.WorldSize, chunks))).Run(call);
    }

    public void Dispose()
    {
        foreach (PlannedAllReduce? plan in _plans) plan?.Dispose();
    }
}
