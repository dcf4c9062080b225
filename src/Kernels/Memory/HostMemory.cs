using System.Runtime.InteropServices;

namespace DistTrain.Kernels;

/// <summary>
/// Host memory that a device copies from at its best: page-locked on CUDA, so that copies run by themselves beside other work; plain and page-aligned elsewhere. Owned by
/// whoever allocated it; dispose it when no copy reads it any more.
/// </summary>
public sealed unsafe class HostMemory : IDisposable
{
    private const int PageByteCount = 4096;
    private readonly ComputeDevice _device;
    private nint _address;
    private IDisposable? _lock;

    private HostMemory(ComputeDevice device, nint address, long byteCount, IDisposable? pageLock) =>
        (_device, _address, ByteCount, _lock) = (device, address, byteCount, pageLock);

    /// <summary>The first byte.</summary>
    /// <exception cref="ObjectDisposedException">The memory was given back.</exception>
    public nint Address => _address != 0 ? _address : throw new ObjectDisposedException(nameof(HostMemory));

    /// <summary>Bytes from there on.</summary>
    public long ByteCount { get; }

    /// <summary>Whether the pages are locked for the device.</summary>
    public bool IsPageLocked => _lock is not null;

    /// <summary>Allocates memory of undefined content.</summary>
    /// <exception cref="OutOfMemoryException">There is no such memory.</exception>
    /// <exception cref="DeviceException">The device can't lock so many pages.</exception>
    public static HostMemory Allocate(ComputeDevice device, long byteCount)
    {
        ArgumentNullException.ThrowIfNull(device);
        ArgumentOutOfRangeException.ThrowIfNegative(byteCount);
        long rounded = Math.Max(PageByteCount, (byteCount + PageByteCount - 1) & -PageByteCount);
        nint address = (nint)NativeMemory.AlignedAlloc((nuint)rounded, PageByteCount);
        try
        {
            return new HostMemory(device, address, byteCount, device.LockPages(address, rounded));
        }
        catch
        {
            NativeMemory.AlignedFree((void*)address);
            throw;
        }
    }

    /// <summary>Unlocks and frees the memory. Safe to call twice.</summary>
    public void Dispose()
    {
        nint address = Interlocked.Exchange(ref _address, 0);
        if (address == 0) return;
        // A disposed device has unlocked its pages already.
        if (!_device.IsDisposed) _lock?.Dispose();
        _lock = null;
        NativeMemory.AlignedFree((void*)address);
    }
}
