using ILGPU.Runtime;

namespace DistTrain.Kernels;

/// <summary>
/// A block of one device's memory, counted by the tensors that share it. Comes from the device's <see cref="BufferPool"/> and goes
/// back to it with its last reference, or wraps memory that somebody else owns.
/// </summary>
public sealed class DeviceBuffer
{
    private Action? _release;
    private int _referenceCount;
    private List<ExecutionStream>? _usedBy;

    internal DeviceBuffer(ComputeDevice device, nint pointer, long byteCount, MemoryBuffer? gpuMemory, Action? release = null)
    {
        Device = device;
        Pointer = pointer;
        ByteCount = byteCount;
        GpuMemory = gpuMemory;
        _release = release;
    }

    /// <summary>The device whose memory this is.</summary>
    public ComputeDevice Device { get; }

    /// <summary>Usable bytes, from <see cref="Pointer"/> on.</summary>
    public long ByteCount { get; }

    /// <summary>Address of the first byte: a host address (64-byte aligned if pooled) on the CPU, a device address on CUDA, the <c>cl_mem</c> handle on OpenCL.</summary>
    public nint Pointer { get; }

    /// <summary>True if the memory belongs to somebody else and does not return to the pool.</summary>
    public bool IsExternal { get; private init; }

    internal MemoryBuffer? GpuMemory { get; }

    /// <summary>The stream that the memory is ordered by; null for external memory.</summary>
    internal ExecutionStream? HomeStream { get; set; }

    internal int SizeClass { get; init; }

    /// <summary>
    /// Wraps memory owned elsewhere (a mapping shared with peers, page-locked memory). It must stay valid until
    /// <paramref name="release"/> is called, which happens once, when the last tensor over it is disposed.
    /// </summary>
    /// <param name="device">The device that can address the memory. CPU and CUDA devices; OpenCL has no addresses to wrap.</param>
    /// <param name="pointer">Address of the first byte, aligned to the element size at least.</param>
    /// <param name="byteCount">Bytes from there on.</param>
    /// <param name="release">Called with the last reference, on the disposing thread, after waiting for the default stream's work and that of streams named to <see cref="RecordUse"/>; may be null.</param>
    /// <exception cref="ArgumentException">A null pointer or a negative length.</exception>
    /// <exception cref="NotSupportedException">The device can't address foreign memory.</exception>
    public static DeviceBuffer Wrap(ComputeDevice device, nint pointer, long byteCount, Action? release = null)
    {
        ArgumentNullException.ThrowIfNull(device);
        ArgumentOutOfRangeException.ThrowIfNegative(byteCount);
        if (pointer == 0 && byteCount > 0) throw new ArgumentException("can't wrap a null pointer", nameof(pointer));
        return new DeviceBuffer(device, pointer, byteCount, device.WrapMemory(pointer, byteCount), release) { IsExternal = true };
    }

    /// <summary>
    /// Tells that work on another stream uses this memory, so that it is reused only after that work. Needed only where a tensor allocated
    /// for one stream is disposed while another stream still works on it.
    /// </summary>
    public void RecordUse(ExecutionStream stream)
    {
        if (stream == HomeStream) return;
        lock (this)
        {
            _usedBy ??= [];
            if (!_usedBy.Contains(stream)) _usedBy.Add(stream);
        }
    }

    /// <summary>Tensors over this memory now: with 1, whoever has that tensor has the memory alone.</summary>
    public int ReferenceCount => Volatile.Read(ref _referenceCount);

    internal void AddReference() => Interlocked.Increment(ref _referenceCount);

    internal void ReleaseReference()
    {
        int left = Interlocked.Decrement(ref _referenceCount);
        if (left > 0) return;
        if (left < 0) throw new InvalidOperationException("a device buffer was released more often than it was referenced");
        if (IsExternal)
        {
            // The owner may unmap the memory at once: nothing may still run on it.
            if (!Device.IsDisposed) Device.DefaultStream.Synchronize();
            foreach (ExecutionStream stream in LivingUsers()) stream.Synchronize();
            Interlocked.Exchange(ref _release, null)?.Invoke();
            return;
        }
        WaitForOtherStreams();
        Device.Pool.Return(this);
    }

    private void WaitForOtherStreams()
    {
        if (_usedBy is not { Count: > 0 }) return;
        // A home that has ended leaves the memory to the default stream.
        ExecutionStream next = HomeStream!.IsDisposed ? Device.DefaultStream : HomeStream;
        foreach (ExecutionStream stream in LivingUsers()) next.Wait(stream.Record());
        _usedBy.Clear();
    }

    /// <summary>A stream that has ended has no work left, nor has one of a disposed device.</summary>
    private IEnumerable<ExecutionStream> LivingUsers() =>
        _usedBy is null ? [] : _usedBy.Where(static stream => !stream.IsDisposed && !stream.Device.IsDisposed);
}
