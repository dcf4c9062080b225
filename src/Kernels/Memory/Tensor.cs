using CommunityToolkit.HighPerformance;
using CommunityToolkit.HighPerformance.Buffers;

namespace DistTrain.Kernels;

/// <summary>
/// A dense row-major array in one device's memory: a buffer, a place in it, a shape and a dtype. Knows nothing of gradients.
/// Dispose it when done; views (<see cref="Reshape"/>, <see cref="Slice"/>) share the memory and are disposed on their own.
/// Not thread-safe for disposal; reading from several threads is fine.
/// </summary>
public sealed unsafe class Tensor : IDisposable
{
    private const int StagingByteCount = 1 << 26;
    private DeviceBuffer? _buffer;

    /// <summary>A tensor over memory starting <paramref name="offsetByteCount"/> bytes into <paramref name="buffer"/>; takes one reference to it.</summary>
    /// <exception cref="ArgumentException">The buffer is too small, or the offset is not a multiple of the element size.</exception>
    public Tensor(DeviceBuffer buffer, Shape shape, DType dtype = DType.F32, long offsetByteCount = 0)
    {
        ArgumentNullException.ThrowIfNull(buffer);
        ArgumentOutOfRangeException.ThrowIfNegative(offsetByteCount);
        Shape = shape;
        DType = dtype;
        OffsetByteCount = offsetByteCount;
        if (offsetByteCount % dtype.ByteSize() != 0)
            throw new ArgumentException($"offset {offsetByteCount} is not a multiple of the {dtype.ByteSize()} bytes of {dtype}");
        if (offsetByteCount > buffer.ByteCount - ByteCount)
            throw new ArgumentException($"a {dtype} tensor {shape} at byte {offsetByteCount} needs {ByteCount:N0} bytes, the buffer has {buffer.ByteCount:N0}");
        _buffer = buffer;
        buffer.AddReference();
    }

    /// <summary>The extents.</summary>
    public Shape Shape { get; }

    /// <summary>The element type.</summary>
    public DType DType { get; }

    /// <summary>Where the first element lies in <see cref="Buffer"/>, in bytes.</summary>
    public long OffsetByteCount { get; }

    /// <summary>Elements in all.</summary>
    public long ElementCount => Shape.ElementCount;

    /// <summary>Bytes in all.</summary>
    public long ByteCount => checked(Shape.ElementCount * DType.ByteSize());

    /// <summary>True after <see cref="Dispose"/>.</summary>
    public bool IsDisposed => _buffer is null;

    /// <summary>The memory.</summary>
    /// <exception cref="ObjectDisposedException">The tensor was disposed.</exception>
    public DeviceBuffer Buffer => _buffer ?? throw new ObjectDisposedException($"Tensor {Shape}");

    /// <summary>The device whose memory this is.</summary>
    public ComputeDevice Device => Buffer.Device;

    /// <summary>Address of the first element, valid on <see cref="Device"/>; on OpenCL the <c>cl_mem</c> handle, to be used with <see cref="OffsetByteCount"/>.</summary>
    public nint Pointer => Device.Kind == DeviceKind.OpenCl ? Buffer.Pointer : Buffer.Pointer + (nint)OffsetByteCount;

    /// <summary>A tensor with undefined contents, ordered by <paramref name="stream"/>.</summary>
    /// <exception cref="OutOfDeviceMemoryException">The device has no room.</exception>
    public static Tensor Allocate(ExecutionStream stream, Shape shape, DType dtype = DType.F32)
    {
        ArgumentNullException.ThrowIfNull(stream);
        DeviceBuffer buffer = stream.Device.Pool.Rent(stream, checked(shape.ElementCount * dtype.ByteSize()));
        return new Tensor(buffer, shape, dtype);
    }

    /// <summary>A tensor of zeros.</summary>
    public static Tensor Zeros(ExecutionStream stream, Shape shape, DType dtype = DType.F32)
    {
        Tensor tensor = Allocate(stream, shape, dtype);
        tensor.Clear(stream);
        return tensor;
    }

    /// <summary>A tensor holding a copy of <paramref name="elements"/>, row-major.</summary>
    /// <exception cref="ArgumentException">The number of elements is not the shape's.</exception>
    public static Tensor From<T>(ExecutionStream stream, ReadOnlySpan<T> elements, Shape shape) where T : unmanaged
    {
        Tensor tensor = Allocate(stream, shape, DTypes.Of<T>());
        try
        {
            tensor.CopyFrom(stream, elements);
            return tensor;
        }
        catch
        {
            tensor.Dispose();
            throw;
        }
    }

    /// <inheritdoc cref="From{T}(ExecutionStream, ReadOnlySpan{T}, Shape)"/>
    public static Tensor From<T>(ExecutionStream stream, T[] elements, Shape shape) where T : unmanaged =>
        From(stream, (ReadOnlySpan<T>)elements, shape);

    /// <summary>A view of the same elements under another shape; must be disposed too.</summary>
    /// <exception cref="ShapeException">The element counts differ.</exception>
    public Tensor Reshape(Shape shape)
    {
        if (shape.ElementCount != ElementCount)
            throw new ShapeException($"reshape: {Shape} has {ElementCount} elements, {shape} has {shape.ElementCount}; they must be equal");
        return new Tensor(Buffer, shape, DType, OffsetByteCount);
    }

    /// <summary>A view of <paramref name="count"/> entries of the outermost dimension from <paramref name="start"/> on; must be disposed too.</summary>
    /// <exception cref="ShapeException">The range does not lie in the tensor.</exception>
    public Tensor Slice(int start, int count)
    {
        if (Shape.DimensionCount == 0 || start < 0 || count < 0 || start > Shape[0] - count)
            throw new ShapeException($"slice: entries {start} to {(long)start + count} do not lie in {Shape}");
        Span<int> extents = stackalloc int[Shape.DimensionCount];
        Shape.Dimensions.CopyTo(extents);
        extents[0] = count;
        long entryByteCount = Shape.ElementCountOf(1, Shape.DimensionCount) * DType.ByteSize();
        return new Tensor(Buffer, new Shape(extents), DType, OffsetByteCount + (start * entryByteCount));
    }

    /// <summary>Another reference to the same elements; must be disposed too.</summary>
    public Tensor Share() => new(Buffer, Shape, DType, OffsetByteCount);

    /// <summary>Sets all bytes to zero. Enqueues and returns.</summary>
    /// <exception cref="ArgumentException">The stream is another device's; so for all copies.</exception>
    public void Clear(ExecutionStream stream)
    {
        CheckStream(stream);
        Device.ClearMemory(stream, this);
    }

    /// <summary>Copies from host memory, which may be reused when this returns.</summary>
    /// <exception cref="ArgumentException">Element type or count differ from the tensor's.</exception>
    public void CopyFrom<T>(ExecutionStream stream, ReadOnlySpan<T> elements) where T : unmanaged
    {
        CheckStream(stream);
        CheckHostSpan<T>(elements.Length, "copy from host");
        fixed (T* source = elements) Device.CopyFromHost(stream, this, source);
    }

    /// <summary>
    /// Copies from host memory and may return before it has been read: the memory must stay as it is until the stream has come to this point. From
    /// <see cref="HostMemory"/> the copy runs beside other work.
    /// </summary>
    /// <param name="stream">A stream of this tensor's device.</param>
    /// <param name="source">Address of as many bytes as the tensor has.</param>
    public void CopyFromAsync(ExecutionStream stream, nint source)
    {
        CheckStream(stream);
        if (source == 0 && ByteCount > 0) throw new ArgumentException("can't copy from a null pointer", nameof(source));
        Device.CopyFromHostAsync(stream, this, (void*)source);
    }

    /// <summary>Copies to host memory; waits for the stream.</summary>
    /// <exception cref="ArgumentException">Element type or count differ from the tensor's.</exception>
    public void CopyTo<T>(ExecutionStream stream, Span<T> elements) where T : unmanaged
    {
        CheckStream(stream);
        CheckHostSpan<T>(elements.Length, "copy to host");
        fixed (T* destination = elements) Device.CopyToHost(stream, this, destination);
    }

    /// <summary>Copies to host memory; waits for the stream.</summary>
    /// <param name="stream">A stream of this tensor's device.</param>
    /// <param name="destination">Address of room for as many bytes as the tensor has.</param>
    public void CopyTo(ExecutionStream stream, nint destination)
    {
        CheckStream(stream);
        if (destination == 0 && ByteCount > 0) throw new ArgumentException("can't copy to a null pointer", nameof(destination));
        Device.CopyToHost(stream, this, (void*)destination);
    }

    /// <summary>A host array of all elements; waits for the stream.</summary>
    public T[] ToArray<T>(ExecutionStream stream) where T : unmanaged
    {
        T[] elements = GC.AllocateUninitializedArray<T>(checked((int)ElementCount));
        CopyTo<T>(stream, elements);
        return elements;
    }

    /// <summary>
    /// Copies all elements to a tensor of the same shape and dtype, on this device or another. Between devices it passes through host
    /// memory and waits for <paramref name="stream"/>, which must belong to this tensor's device; the destination's default stream orders its side.
    /// </summary>
    /// <exception cref="ShapeException">Shape or dtype differ.</exception>
    public void CopyTo(ExecutionStream stream, Tensor destination) => CopyTo(stream, destination, StagingByteCount);

    internal void CopyTo(ExecutionStream stream, Tensor destination, int stagingByteCount)
    {
        ArgumentNullException.ThrowIfNull(destination);
        CheckStream(stream);
        if (destination.Shape != Shape || destination.DType != DType)
            throw new ShapeException($"copy: source {DType} {Shape}, destination {destination.DType} {destination.Shape}; they must be equal");
        if (destination.Device == Device) Device.CopyOnDevice(stream, this, destination);
        else if (destination.Device is CpuDevice) Device.CopyToHost(stream, this, (void*)destination.Pointer);
        else if (Device is CpuDevice) destination.Device.CopyFromHost(destination.Device.DefaultStream, destination, (void*)Pointer);
        else CopyThroughHost(stream, destination, stagingByteCount);
    }

    /// <summary>The elements themselves, on a CPU device. Valid until the tensor is disposed.</summary>
    /// <exception cref="InvalidOperationException">The tensor is not in host memory, or <typeparamref name="T"/> is not its element type.</exception>
    public Span<T> AsSpan<T>() where T : unmanaged
    {
        if (Device is not CpuDevice) throw new InvalidOperationException($"a tensor on {Device.Name} has no host span; copy it to the host first");
        if (DTypes.Of<T>() != DType) throw new InvalidOperationException($"a {DType} tensor has no elements of type {typeof(T).Name}");
        return new Span<T>((void*)Pointer, checked((int)ElementCount));
    }

    /// <summary>The elements as rows of the last dimension, on a CPU device: <see cref="Kernels.Shape.RowCount"/> by <see cref="Kernels.Shape.ColumnCount"/>. Valid until the tensor is disposed.</summary>
    /// <exception cref="InvalidOperationException">As for <see cref="AsSpan"/>.</exception>
    public Span2D<T> AsSpan2D<T>() where T : unmanaged
    {
        _ = AsSpan<T>();
        return new Span2D<T>((void*)Pointer, checked((int)Shape.RowCount), Shape.ColumnCount, pitch: 0);
    }

    /// <summary>Gives up this reference to the memory. Safe to call twice.</summary>
    public void Dispose()
    {
        DeviceBuffer? buffer = _buffer;
        _buffer = null;
        buffer?.ReleaseReference();
    }

    /// <summary>For messages: dtype, shape, device.</summary>
    public override string ToString() => IsDisposed ? $"{DType} {Shape} (disposed)" : $"{DType} {Shape} on {Device.Name}";

    private void CheckHostSpan<T>(int length, string operation) where T : unmanaged
    {
        if (DTypes.Of<T>() != DType) throw new ArgumentException($"{operation}: the tensor is {DType}, the host elements are {typeof(T).Name}");
        if (length != ElementCount) throw new ArgumentException($"{operation}: the tensor {Shape} has {ElementCount} elements, the host span {length}");
    }

    private void CheckStream(ExecutionStream stream)
    {
        ArgumentNullException.ThrowIfNull(stream);
        if (stream.Device != Device) throw new ArgumentException($"the tensor {Shape} lies on {Device.Name}, the stream belongs to {stream.Device.Name}");
    }

    /// <summary>Piece by piece, so that tensors of any size pass through a host buffer of bounded size.</summary>
    private void CopyThroughHost(ExecutionStream stream, Tensor destination, int stagingByteCount)
    {
        int elementsOfPiece = stagingByteCount / DType.ByteSize();
        using MemoryOwner<byte> staging = MemoryOwner<byte>.Allocate((int)Math.Min(stagingByteCount, ByteCount));
        for (long start = 0; start < ElementCount; start += elementsOfPiece)
        {
            Shape piece = new((int)Math.Min(elementsOfPiece, ElementCount - start));
            using Tensor source = new(Buffer, piece, DType, OffsetByteCount + (start * DType.ByteSize()));
            using Tensor target = new(destination.Buffer, piece, DType, destination.OffsetByteCount + (start * DType.ByteSize()));
            fixed (byte* bytes = staging.Span)
            {
                Device.CopyToHost(stream, source, bytes);
                target.Device.CopyFromHost(target.Device.DefaultStream, target, bytes);
            }
        }
    }
}
