using DistTrain.Kernels;

namespace DistTrain.Collectives;

/// <summary>
/// Memory of a communicator that its transport moves fastest; see <see cref="ICommunicator.Allocate"/>. Belongs to whoever allocated it. Disposing it is collective, in the same order on
/// all ranks, and comes after all tensors over it were disposed; what is left goes with the communicator.
/// </summary>
public sealed class RegisteredMemory : IDisposable
{
    private readonly Action<RegisteredMemory> _free;
    private readonly Action _hold, _release;
    private readonly Lock _making = new();
    private DeviceBuffer? _buffer;
    private int _buffersAlive;
    private bool _isDisposed;

    internal RegisteredMemory(ComputeDevice device, nint pointer, long byteCount, Action hold, Action release, Action<RegisteredMemory> free)
    {
        (Device, Pointer, ByteCount) = (device, pointer, byteCount);
        (_hold, _release, _free) = (hold, release, free);
    }

    /// <summary>The device whose tensors may lie here.</summary>
    public ComputeDevice Device { get; }

    /// <summary>Address of the first byte, aligned to pages.</summary>
    public nint Pointer { get; }

    /// <summary>Bytes from there on.</summary>
    public long ByteCount { get; }

    /// <summary>A tensor at a place in this memory; to be disposed before it.</summary>
    /// <exception cref="ArgumentException">It does not fit, or the offset is no multiple of the element size.</exception>
    public Tensor Tensor(Shape shape, DType dtype = DType.F32, long offsetByteCount = 0)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        lock (_making)
        {
            if (Volatile.Read(ref _buffersAlive) == 0) return First(shape, dtype, offsetByteCount);
            Tensor tensor = new(_buffer!, shape, dtype, offsetByteCount);
            // Alone it may have come after the last one had gone, on another thread, and the memory with it.
            if (_buffer!.ReferenceCount > 1) return tensor;
            using (tensor) return First(shape, dtype, offsetByteCount);
        }
    }

    /// <summary>Gives the memory back; collective. That of a communicator that failed goes with it.</summary>
    /// <exception cref="InvalidOperationException">Tensors still lie in it.</exception>
    public void Dispose()
    {
        if (_isDisposed) return;
        if (Volatile.Read(ref _buffersAlive) > 0) throw new InvalidOperationException($"{ByteCount:N0} bytes of registered memory are disposed while tensors lie in it; dispose these first");
        _isDisposed = true;
        _free(this);
    }

    private Tensor First(Shape shape, DType dtype, long offsetByteCount)
    {
        DeviceBuffer buffer = MakeBuffer();
        try
        {
            Tensor tensor = new(buffer, shape, dtype, offsetByteCount);
            _buffer = buffer;
            return tensor;
        }
        catch
        {
            LetGo();
            throw;
        }
    }

    // The memory stays mapped while tensors lie in it, even if the communicator is disposed before them.
    private DeviceBuffer MakeBuffer()
    {
        DeviceBuffer buffer = DeviceBuffer.Wrap(Device, Pointer, ByteCount, LetGo);
        _hold();
        Interlocked.Increment(ref _buffersAlive);
        return buffer;
    }

    private void LetGo()
    {
        Interlocked.Decrement(ref _buffersAlive);
        _release();
    }
}
