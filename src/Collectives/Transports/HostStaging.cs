using DistTrain.Kernels;

namespace DistTrain.Collectives;

/// <summary>
/// Host memory through which a device's tensors pass where a transport moves host memory only: page-locked where the device has that, grown as needed, used again. One call at a time.
/// </summary>
internal sealed class HostStaging(ComputeDevice device) : IDisposable
{
    private HostMemory? _send, _receive;

    /// <summary>Copies a tensor out and gives its address; waits for the stream.</summary>
    internal nint Fetch(ExecutionStream stream, Tensor? tensor)
    {
        if (tensor is null) return 0;
        nint address = Room(ref _send, tensor.ByteCount);
        tensor.CopyTo(stream, address);
        return address;
    }

    /// <summary>Room for a result, not the memory that <see cref="Fetch"/> fills.</summary>
    internal nint Room(long byteCount) => Room(ref _receive, byteCount);

    /// <summary>Copies a result in; waits, so that the room may be used again.</summary>
    internal static void Store(ExecutionStream stream, Tensor tensor, nint address)
    {
        tensor.CopyFromAsync(stream, address);
        stream.Synchronize();
    }

    public void Dispose()
    {
        _send?.Dispose();
        _receive?.Dispose();
    }

    private nint Room(ref HostMemory? memory, long byteCount)
    {
        if (memory is null || memory.ByteCount < byteCount)
        {
            memory?.Dispose();
            memory = null;
            memory = HostMemory.Allocate(device, byteCount);
        }
        return memory.Address;
    }
}
