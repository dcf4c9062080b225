using System.Collections.Concurrent;
using ILGPU;
using ILGPU.Runtime;
using ILGPU.Runtime.Cuda;

namespace DistTrain.Kernels;

/// <summary>A device whose kernels ILGPU compiles: CUDA, OpenCL, or ILGPU's emulator. ILGPU's types stay inside this assembly.</summary>
public sealed unsafe class GpuDevice : ComputeDevice
{
    private const int BytesOfCopy = 1 << 30;
    private readonly Context _context;
    private readonly GpuStream _defaultStream;
    private readonly ConcurrentDictionary<Delegate, Delegate> _kernels = [];

    internal GpuDevice(string name, DeviceKind kind, Context context, Accelerator accelerator)
        : base(name, kind)
    {
        _context = context;
        Accelerator = accelerator;
        _defaultStream = new GpuStream(this, accelerator.DefaultStream, ownsStream: false);
        GroupSize = kind == DeviceKind.Emulator ? 16 : Math.Min(256, accelerator.MaxNumThreadsPerGroup);
    }

    /// <inheritdoc/>
    public override string Description => Accelerator is CudaAccelerator cuda
        ? $"{cuda.Name}, {CoreCount} SMs, {cuda.Architecture}"
        : $"{Accelerator.Name.Trim()}, {CoreCount} compute units";

    /// <inheritdoc/>
    public override long MemoryByteCount => Kind == DeviceKind.Emulator ? GC.GetGCMemoryInfo().TotalAvailableMemoryBytes : Accelerator.MemorySize;

    /// <inheritdoc/>
    public override int CoreCount => Accelerator.NumMultiprocessors;

    /// <inheritdoc/>
    public override ExecutionStream DefaultStream => _defaultStream;

    internal Accelerator Accelerator { get; }

    /// <summary>Threads of a group in element-wise and row-wise kernels; a power of two of at most 256.</summary>
    internal int GroupSize { get; }

    /// <inheritdoc/>
    public override ExecutionStream CreateStream() => new GpuStream(this, Accelerator.CreateStream(), ownsStream: true);

    /// <summary>A compiled kernel's launcher, made on first use. <paramref name="load"/> must be a static lambda: it is the key.</summary>
    internal TLauncher Kernel<TLauncher>(Func<Accelerator, TLauncher> load) where TLauncher : Delegate
    {
        if (_kernels.TryGetValue(load, out Delegate? launcher)) return (TLauncher)launcher;
        // ILGPU's own kernel cache is not safe against two threads compiling the same kernel.
        lock (_kernels)
        {
            try
            {
                return (TLauncher)_kernels.GetOrAdd(load, static (key, accelerator) => ((Func<Accelerator, TLauncher>)key)(accelerator), Accelerator);
            }
            catch (Exception failure) when (failure is AcceleratorException or InternalCompilerException)
            {
                throw new DeviceException($"{Name} can't compile a kernel of {load.Method.DeclaringType?.FullName}: {failure.Message} (set POCL_DEBUG=all to see PoCL's log)", failure);
            }
        }
    }

    /// <summary>The elements of a tensor as kernels see them.</summary>
    internal static ArrayView<T> View<T>(Tensor tensor) where T : unmanaged =>
        new(tensor.Buffer.GpuMemory!, tensor.OffsetByteCount / sizeof(T), tensor.ByteCount / sizeof(T));

    /// <summary>Groups that cover <paramref name="elementCount"/> elements, a thread each; kernels loop where there are more elements than threads.</summary>
    internal KernelConfig GridFor(long elementCount)
    {
        long groups = Math.Clamp((elementCount + GroupSize - 1) / GroupSize, 1, Kind == DeviceKind.Emulator ? 4 : 65_535);
        return new KernelConfig((int)groups, GroupSize);
    }

    /// <summary>One group of <see cref="GroupSize"/> threads for each of <paramref name="rowCount"/> rows.</summary>
    internal KernelConfig RowGrid(long rowCount) => new(checked((int)rowCount), GroupSize);

    /// <inheritdoc/>
    public override void Dispose()
    {
        if (IsDisposed) return;
        Accelerator.Synchronize();
        Pool.Trim();
        IsDisposed = true;
        Accelerator.Dispose();
        _context.Dispose();
    }

    internal override DeviceBuffer? TryAllocateMemory(long byteCount, int sizeClass, out Exception? cause)
    {
        cause = null;
        try
        {
            MemoryBuffer memory = Accelerator.AllocateRaw(byteCount, 1);
            return new DeviceBuffer(this, memory.NativePtr, byteCount, memory) { SizeClass = sizeClass };
        }
        catch (Exception failure) when (failure is AcceleratorException or OutOfMemoryException or ArgumentOutOfRangeException)
        {
            cause = failure;
            return null;
        }
    }

    internal override void FreeMemory(DeviceBuffer buffer)
    {
        // A disposed accelerator has freed all its memory already.
        if (!IsDisposed) buffer.GpuMemory!.Dispose();
    }

    internal override MemoryBuffer? WrapMemory(nint pointer, long byteCount) => Accelerator is CudaAccelerator cuda
        ? new ExternalCudaMemory(cuda, pointer, byteCount)
        : throw new NotSupportedException($"{Name} ({Kind}) can't wrap memory owned elsewhere; CPU and CUDA devices can");

    internal override void ClearMemory(ExecutionStream stream, Tensor tensor)
    {
        if (tensor.ElementCount > 0) View<byte>(tensor).MemSetToZero(Native(stream));
    }

    internal override void CopyFromHost(ExecutionStream stream, Tensor destination, void* source)
    {
        ArrayView<byte> view = View<byte>(destination);
        // Spans hold at most 2^31 - 1 bytes.
        for (long start = 0; start < view.Length; start += BytesOfCopy)
        {
            int count = (int)Math.Min(BytesOfCopy, view.Length - start);
            view.SubView(start, count).CopyFromCPU(Native(stream), new ReadOnlySpan<byte>((byte*)source + start, count));
        }
    }

    internal override void CopyFromHostAsync(ExecutionStream stream, Tensor destination, void* source)
    {
        if (destination.ByteCount > 0) View<byte>(destination).CopyFromCPUUnsafeAsync(Native(stream), ref *(byte*)source, destination.ByteCount);
    }

    internal override IDisposable? LockPages(nint address, long byteCount) => Accelerator is CudaAccelerator cuda ? CudaPageLock.TryCreate(Name, cuda, address, byteCount) : null;

    internal override void CopyToHost(ExecutionStream stream, Tensor source, void* destination)
    {
        ArrayView<byte> view = View<byte>(source);
        for (long start = 0; start < view.Length; start += BytesOfCopy)
        {
            int count = (int)Math.Min(BytesOfCopy, view.Length - start);
            view.SubView(start, count).CopyToCPU(Native(stream), new Span<byte>((byte*)destination + start, count));
        }
    }

    internal override void CopyOnDevice(ExecutionStream stream, Tensor source, Tensor destination)
    {
        if (source.ElementCount > 0) View<byte>(source).CopyTo(Native(stream), View<byte>(destination));
    }

    /// <summary>ILGPU's stream behind one of ours.</summary>
    internal static AcceleratorStream Native(ExecutionStream stream) => ((GpuStream)stream).Native;
}
