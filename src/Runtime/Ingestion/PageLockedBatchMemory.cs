using DistTrain.Ingest;
using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>
/// Batch memory that a device copies from at its best: page-locked on CUDA, so that copies run beside the device's work; plain and aligned elsewhere. Pooled. Dispose it
/// before the device; batches still alive free theirs when they are disposed.
/// </summary>
/// <param name="device">The device that batches go to.</param>
/// <param name="byteLimit">The most bytes that may be lent at a time.</param>
/// <param name="cachedByteLimit">The most bytes kept for reuse: locked pages are taken from everybody.</param>
public sealed class PageLockedBatchMemory(ComputeDevice device, long byteLimit = long.MaxValue, long cachedByteLimit = PooledBatchMemory.DefaultCachedByteLimit)
    : PooledBatchMemory(byteLimit, cachedByteLimit)
{
    /// <inheritdoc/>
    protected override BatchBuffer Allocate(long byteCount)
    {
        try
        {
            return new Locked(HostMemory.Allocate(device, byteCount));
        }
        catch (Exception failure) when (failure is OutOfMemoryException or DeviceException)
        {
            throw new BatchMemoryException($"a batch of {byteCount:N0} bytes: {failure.Message}", failure);
        }
    }

    private sealed class Locked(HostMemory memory) : BatchBuffer
    {
        public override nint Address => memory.Address;

        public override long ByteCount => memory.ByteCount;

        public override void Dispose() => memory.Dispose();
    }
}
