using System.Globalization;
using System.Runtime.InteropServices;
using DistTrain.Collectives;
using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>See <see cref="GradientCompression.TopK"/>.</summary>
internal sealed class TopKCompression(double ratio) : GradientCompression
{
    public override string Name => string.Create(CultureInfo.InvariantCulture, $"topk:{ratio}");

    public override bool KeepsState => true;

    public override IBucketCompressor Create(ExecutionStream stream, ICommunicator communicator, int elementCount, int? root) =>
        new Compressor(stream, communicator, elementCount, (int)Math.Clamp(Math.Ceiling(ratio * elementCount), 1, elementCount), root);

    /// <summary>A replica's message is k places, then the bits of k values. Sums are formed by adding the replicas' values in the order of ranks: on all alike.</summary>
    internal sealed class Compressor : IBucketCompressor
    {
        private readonly ICommunicator _communicator;
        private readonly int? _root;
        private readonly int _count;
        private readonly CpuDevice? _device;
        private readonly Tensor _kept;
        private readonly float[]? _host;
        private readonly int[] _message, _all;
        private readonly Tensor _send, _receive;
        private readonly LargestElements _largest = new();

        internal Compressor(ExecutionStream stream, ICommunicator communicator, int elementCount, int count, int? root)
        {
            (_communicator, _count, _root) = (communicator, count, root);
            _message = new int[2 * count];
            _all = new int[2 * count * communicator.WorldSize];
            if (stream.Device.Kind != DeviceKind.Cpu) (_device, _host) = (new CpuDevice("host", InstructionSets.Best, threadCount: 1), new float[elementCount]);
            try
            {
                _kept = Tensor.Zeros(_device?.DefaultStream ?? stream, new Shape(elementCount));
                _send = Tensor.Allocate(stream, new Shape(_message.Length), DType.I32);
                _receive = Tensor.Allocate(stream, new Shape(_all.Length), DType.I32);
            }
            catch
            {
                Dispose();
                throw;
            }
        }

        public long SentByteCount => _send.ByteCount;

        /// <summary>What was not sent so far, in host memory.</summary>
        public Tensor Residual => _kept;

        public CollectiveHandle Start(ExecutionStream stream, Tensor gradients)
        {
            Span<float> own = _host ?? gradients.AsSpan<float>();
            if (_host is not null) gradients.CopyTo<float>(stream, _host);
            Span<int> places = _message.AsSpan(0, _count);
            Span<float> values = MemoryMarshal.Cast<int, float>(_message.AsSpan(_count));
            _largest.AddAndTake(_kept.AsSpan<float>(), own, places, values);
            _send.CopyFrom<int>(stream, _message);
            return _communicator.AllGatherAsync(stream, _send, _receive);
        }

        public void Finish(ExecutionStream stream, Tensor gradients)
        {
            if (_root is { } root && root != _communicator.Rank) return;
            _receive.CopyTo<int>(stream, _all);
            Span<float> sums = _host ?? gradients.AsSpan<float>();
            sums.Clear();
            for (int start = 0; start < _all.Length; start += 2 * _count)
            {
                ReadOnlySpan<float> values = MemoryMarshal.Cast<int, float>(_all.AsSpan(start + _count, _count));
                for (int i = 0; i < _count; i++) sums[_all[start + i]] += values[i];
            }
            if (_host is not null) gradients.CopyFrom<float>(stream, _host);
        }

        public void Dispose()
        {
            _kept?.Dispose();
            _send?.Dispose();
            _receive?.Dispose();
            _device?.Dispose();
        }
    }
}
