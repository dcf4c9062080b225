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
    private DeviceBuffer? _buffer;
    private int _tensorsAlive;
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
        if (_tensorsAlive == 0) _buffer = MakeBuffer();
        return new Tensor(_buffer!, shape, dtype, offsetByteCount);
    }

    /// <summary>Gives the memory back; collective.</summary>
    /// <exception cref="InvalidOperationException">Tensors still lie in it.</exception>
    public void Dispose()
    {
        if (_isDisposed) return;
        if (Volatile.Read(ref _tensorsAlive) > 0) throw new InvalidOperationException($"{ByteCount:N0} bytes of registered memory are disposed while tensors lie in it; dispose these first");
        _isDisposed = true;
        _free(this);
    }

    // The memory stays mapped while tensors lie in it, even if the communicator is disposed before them.
    private DeviceBuffer MakeBuffer()
    {
        _hold();
        Volatile.Write(ref _tensorsAlive, 1);
        return DeviceBuffer.Wrap(Device, Pointer, ByteCount, () =>
        {
            Volatile.Write(ref _tensorsAlive, 0);
            _release();
        });
    }
}
