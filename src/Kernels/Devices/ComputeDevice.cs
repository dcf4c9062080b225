using ILGPU.Runtime;

namespace DistTrain.Kernels;

/// <summary>
/// Something that owns memory and runs kernels. Opened by name through <see cref="DeviceCatalog"/>; disposing it frees all its memory,
/// that of living tensors too.
/// </summary>
public abstract unsafe class ComputeDevice : IDisposable
{
    private protected ComputeDevice(string name, DeviceKind kind)
    {
        Name = name;
        Kind = kind;
        Pool = new BufferPool(this);
    }

    /// <summary>The name it was opened by: <c>cpu</c>, <c>cpu:0/2</c>, <c>cuda:0</c>, <c>opencl:pocl</c>, ...</summary>
    public string Name { get; }

    /// <summary>What executes its kernels.</summary>
    public DeviceKind Kind { get; }

    /// <summary>What the hardware calls itself, with its instruction set or compute capability.</summary>
    public abstract string Description { get; }

    /// <summary>Memory in bytes that the device can use in all.</summary>
    public abstract long MemoryByteCount { get; }

    /// <summary>Cores used (CPU) or multiprocessors (GPU).</summary>
    public abstract int CoreCount { get; }

    /// <summary>The stream that is meant where none is named.</summary>
    public abstract ExecutionStream DefaultStream { get; }

    /// <summary>The caching allocator that tensors' memory comes from.</summary>
    public BufferPool Pool { get; }

    /// <summary>True after <see cref="Dispose"/>.</summary>
    public bool IsDisposed { get; private protected set; }

    /// <summary>A further stream; dispose it before the device.</summary>
    public abstract ExecutionStream CreateStream();

    /// <inheritdoc/>
    public abstract void Dispose();

    /// <inheritdoc/>
    public override string ToString() => $"{Name} ({Description})";

    internal abstract DeviceBuffer? TryAllocateMemory(long byteCount, int sizeClass, out Exception? cause);

    internal abstract void FreeMemory(DeviceBuffer buffer);

    internal abstract MemoryBuffer? WrapMemory(nint pointer, long byteCount);

    internal abstract void ClearMemory(ExecutionStream stream, Tensor tensor);

    internal abstract void CopyFromHost(ExecutionStream stream, Tensor destination, void* source);

    /// <summary>The same, and may return before the source has been read.</summary>
    internal virtual void CopyFromHostAsync(ExecutionStream stream, Tensor destination, void* source) => CopyFromHost(stream, destination, source);

    /// <summary>Locks host memory in place for copies of this device; null where that gains nothing.</summary>
    internal virtual IDisposable? LockPages(nint address, long byteCount) => null;

    internal abstract void CopyToHost(ExecutionStream stream, Tensor source, void* destination);

    internal abstract void CopyOnDevice(ExecutionStream stream, Tensor source, Tensor destination);
}
