using System.Numerics;

namespace DistTrain.Kernels;

/// <summary>
/// The caching allocator of one device. Freed buffers are kept by (stream, size class) and given out again to the same stream, so reuse
/// is ordered by the stream itself and a steady training step allocates no native memory. Thread-safe; never blocks on the device
/// except when it must trim. (The scheme of the usual caching allocators; size classes are four per power of two.)
/// </summary>
public sealed class BufferPool
{
    private const long SmallestByteCount = 256;
    private readonly Lock _lock = new();
    private readonly ComputeDevice _device;
    private readonly Dictionary<(ExecutionStream, int), Stack<DeviceBuffer>> _free = [];

    internal BufferPool(ComputeDevice device) => _device = device;

    /// <summary>Buffers in use now. Zero when everything was disposed: what leak tests assert.</summary>
    public int RentedCount { get; private set; }

    /// <summary>Bytes in use now (of whole size classes).</summary>
    public long RentedByteCount { get; private set; }

    /// <summary>The most bytes ever in use at once since the last <see cref="ResetPeak"/>.</summary>
    public long PeakRentedByteCount { get; private set; }

    /// <summary>Bytes kept for reuse.</summary>
    public long CachedByteCount { get; private set; }

    /// <summary>Native allocations made since the device was opened. Does not move in a steady state.</summary>
    public long AllocationCount { get; private set; }

    /// <summary>The most bytes that may be in use and cached together; a rent beyond it throws. Default: no limit but the device's.</summary>
    public long ByteLimit { get; set; } = long.MaxValue;

    /// <summary>Starts measuring <see cref="PeakRentedByteCount"/> anew.</summary>
    public void ResetPeak()
    {
        lock (_lock) PeakRentedByteCount = RentedByteCount;
    }

    /// <summary>Gives a buffer of at least <paramref name="byteCount"/> bytes with undefined contents, ordered by <paramref name="stream"/>.</summary>
    /// <exception cref="OutOfDeviceMemoryException">The device or <see cref="ByteLimit"/> has no room.</exception>
    internal DeviceBuffer Rent(ExecutionStream stream, long byteCount)
    {
        ObjectDisposedException.ThrowIf(_device.IsDisposed, _device);
        int sizeClass = SizeClassOf(byteCount);
        long classByteCount = ByteCountOf(sizeClass);
        lock (_lock)
        {
            if (_free.TryGetValue((stream, sizeClass), out Stack<DeviceBuffer>? stack) && stack.TryPop(out DeviceBuffer? buffer))
                CachedByteCount -= classByteCount;
            else
                buffer = AllocateLocked(stream, sizeClass, classByteCount);
            RentedCount++;
            RentedByteCount += classByteCount;
            PeakRentedByteCount = Math.Max(PeakRentedByteCount, RentedByteCount);
            return buffer;
        }
    }

    internal void Return(DeviceBuffer buffer)
    {
        lock (_lock)
        {
            RentedCount--;
            RentedByteCount -= buffer.ByteCount;
            if (_device.IsDisposed)
            {
                _device.FreeMemory(buffer);
                return;
            }
            CachedByteCount += buffer.ByteCount;
            KeepLocked(buffer);
        }
    }

    /// <summary>Gives the buffers kept for a stream that has ended, its work done, to the default stream.</summary>
    internal void MoveToDefaultStream(ExecutionStream stream)
    {
        lock (_lock)
        {
            foreach (((ExecutionStream, int) key, Stack<DeviceBuffer> stack) in _free.Where(pair => pair.Key.Item1 == stream).ToArray())
            {
                _free.Remove(key);
                foreach (DeviceBuffer buffer in stack) KeepLocked(buffer);
            }
        }
    }

    private void KeepLocked(DeviceBuffer buffer)
    {
        if (buffer.HomeStream!.IsDisposed) buffer.HomeStream = _device.DefaultStream;
        (ExecutionStream, int) key = (buffer.HomeStream, buffer.SizeClass);
        if (!_free.TryGetValue(key, out Stack<DeviceBuffer>? stack)) _free[key] = stack = new Stack<DeviceBuffer>();
        stack.Push(buffer);
    }

    /// <summary>Frees all memory kept for reuse, after waiting for the device's pending work.</summary>
    public void Trim()
    {
        lock (_lock) TrimLocked();
    }

    private DeviceBuffer AllocateLocked(ExecutionStream stream, int sizeClass, long byteCount)
    {
        if (RentedByteCount + CachedByteCount + byteCount > ByteLimit) TrimLocked();
        if (RentedByteCount + byteCount > ByteLimit)
            throw new OutOfDeviceMemoryException(_device.Name, byteCount, RentedByteCount, ByteLimit);
        DeviceBuffer? buffer = _device.TryAllocateMemory(byteCount, sizeClass, out _);
        if (buffer is null)
        {
            TrimLocked();
            buffer = _device.TryAllocateMemory(byteCount, sizeClass, out Exception? cause)
                ?? throw new OutOfDeviceMemoryException(_device.Name, byteCount, RentedByteCount, _device.MemoryByteCount, cause);
        }
        buffer.HomeStream = stream;
        AllocationCount++;
        return buffer;
    }

    private void TrimLocked()
    {
        if (CachedByteCount == 0) return;
        foreach (((ExecutionStream stream, int _), Stack<DeviceBuffer> stack) in _free)
        {
            if (stack.Count > 0) stream.Synchronize();
            while (stack.TryPop(out DeviceBuffer? buffer))
            {
                CachedByteCount -= buffer.ByteCount;
                _device.FreeMemory(buffer);
            }
        }
    }

    /// <summary>Four classes a power of two: 256, 320, 384, 448, 512, 640, ...: at most a quarter of a buffer is unused.</summary>
    internal static int SizeClassOf(long byteCount)
    {
        long wanted = Math.Max(byteCount, SmallestByteCount);
        int exponent = BitOperations.Log2((ulong)wanted);
        long step = 1L << (exponent - 2);
        long quarters = (wanted - (1L << exponent) + step - 1) / step;
        return (exponent * 4) + (int)quarters;
    }

    internal static long ByteCountOf(int sizeClass)
    {
        int exponent = sizeClass / 4, quarters = sizeClass % 4;
        return (1L << exponent) + (quarters * (1L << (exponent - 2)));
    }
}
