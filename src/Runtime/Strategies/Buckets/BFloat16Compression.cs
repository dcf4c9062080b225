using DistTrain.Collectives;
using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>See <see cref="GradientCompression.BFloat16"/>.</summary>
internal sealed class BFloat16Compression : GradientCompression
{
    public override string Name => "bf16";

    public override IBucketCompressor Create(ExecutionStream stream, ICommunicator communicator, int elementCount, int? root) => new Compressor(stream, communicator, elementCount, root);

    private sealed class Compressor(ExecutionStream stream, ICommunicator communicator, int elementCount, int? root) : IBucketCompressor
    {
        // As the buckets do: memory that peers have mapped goes with the communicator.
        private readonly Tensor _wire = stream.Device.Kind == DeviceKind.Cpu
            ? communicator.Allocate(stream.Device, (long)elementCount * sizeof(ushort)).Tensor(new Shape(elementCount), DType.BF16, 0)
            : Tensor.Allocate(stream, new Shape(elementCount), DType.BF16);

        public long SentByteCount => _wire.ByteCount;

        public CollectiveHandle Start(ExecutionStream stream, Tensor gradients)
        {
            Cast.Convert(stream, _wire, gradients);
            return root is not { } rank ? communicator.AllReduceAsync(stream, _wire) : communicator.ReduceAsync(stream, _wire, communicator.Rank == rank ? _wire : null, rank);
        }

        public void Finish(ExecutionStream stream, Tensor gradients)
        {
            if (root is null || root == communicator.Rank) Cast.Convert(stream, gradients, _wire);
        }

        public void Dispose() => _wire.Dispose();
    }
}
