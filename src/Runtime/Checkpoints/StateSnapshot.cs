using DistTrain.Ingest;
using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>
/// Tensors copied to host memory at one moment, so that they can be written while training goes on. The memory is used again for the next snapshot of the same tensors.
/// </summary>
internal sealed class StateSnapshot : IDisposable
{
    private readonly CpuDevice _host = new("host", InstructionSets.Best, threadCount: 1);
    private readonly OrderedDictionary<string, Tensor> _tensors = [];

    internal ExecutionStream Stream => _host.DefaultStream;

    internal IReadOnlyDictionary<string, Tensor> Tensors => _tensors;

    /// <summary>Takes the tensors' values behind the stream's work so far. Blocks until they are copied.</summary>
    internal void Take(ExecutionStream stream, IReadOnlyDictionary<string, Tensor> tensors)
    {
        foreach (string gone in _tensors.Keys.Where(name => !tensors.ContainsKey(name)).ToArray()) Drop(gone);
        foreach ((string name, Tensor tensor) in tensors)
        {
            if (_tensors.TryGetValue(name, out Tensor? copy) && (copy.Shape != tensor.Shape || copy.DType != tensor.DType)) Drop(name);
            if (!_tensors.TryGetValue(name, out copy)) _tensors[name] = copy = Tensor.Allocate(Stream, tensor.Shape, tensor.DType);
            StateLoader.Copy(stream, tensor, copy);
        }
        stream.Synchronize();
    }

    /// <summary>CRC-32C of each tensor's bytes.</summary>
    internal CheckpointTensor[] Checksums(IReadOnlyDictionary<string, CheckpointPart>? parts = null) => [.. _tensors.Select(entry => new CheckpointTensor(entry.Key, ChecksumOf(entry.Value), parts?.GetValueOrDefault(entry.Key)))];

    /// <summary>Of a tensor in host memory.</summary>
    internal static unsafe uint ChecksumOf(Tensor tensor)
    {
        uint crc = 0;
        long done = 0;
        while (done < tensor.ByteCount)
        {
            int count = (int)Math.Min(1 << 30, tensor.ByteCount - done);
            crc = Crc32C.Append(crc, new ReadOnlySpan<byte>((byte*)tensor.Pointer + done, count));
            done += count;
        }
        return crc;
    }

    public void Dispose()
    {
        foreach (Tensor tensor in _tensors.Values) tensor.Dispose();
        _tensors.Clear();
        _host.Dispose();
    }

    private void Drop(string name)
    {
        _tensors[name].Dispose();
        _tensors.Remove(name);
    }
}
